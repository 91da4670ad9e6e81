"""The activation memory against a plain byte array, with every port busy at random."""

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from arch import latency
from arch.config import EngineConfig
from hw.activations import ActivationMemory

CONFIGS = [dict(), dict(bus_bits=128), dict(bus_bits=32, lanes=16), dict(activation_banks=1, lanes=4, bus_bits=32),
           dict(lanes=16, requantiser_lanes=4, bus_bits=256), dict(activation_banks=2, requantiser_lanes=4),
           dict(columns=8, requantiser_lanes=8, bus_bits=128, activation_banks=8),
           dict(columns=16, lanes=16, requantiser_lanes=16, bus_bits=128, activation_banks=8)]


class Model:
    """Bytes, and which memories a run of bytes needs."""

    def __init__(self, config):
        self.config = config
        self.bytes = [0] * config.activation_bytes

    def run(self, address, size):
        """Addresses of the bytes of a run, which wraps at the end."""
        return [(address + n) % len(self.bytes) for n in range(size)]

    def memories(self, addresses):
        """(bank, parity) of every word touched."""
        return {(a // self.config.bank_bytes, a // self.config.lanes % 2) for a in addresses}

    def read(self, addresses):
        return sum(self.bytes[a] << 8 * n for n, a in enumerate(addresses))


@pytest.mark.parametrize("overrides", CONFIGS)
@pytest.mark.parametrize("crowded", [False, True])
def test_ports(overrides, crowded):
    rng = random.Random(str(overrides))
    config = EngineConfig.preset("tiny", activation_bytes=2048, **overrides)
    dut, model = ActivationMemory(config), Model(config)
    aux_bytes, lanes, beat = max(config.requantiser_lanes, 4), config.lanes, config.bus_bytes
    sizes = {"pool": aux_bytes, "window": lanes, "residual": aux_bytes, "store": beat}
    data_ports = {"pool": "aux", "window": "window", "residual": "aux", "store": "store"}
    due = {name: {} for name in data_ports.values()}
    due_last = dict.fromkeys(due)
    counts = dict.fromkeys((*sizes, "refused_window", "refused_residual", "refused_store", "refused_load", "loads"), 0)

    def address(aligned=1):
        # Crowded: near a bank's end and the memory's, so that runs cross, wrap and clash.
        place = rng.choice((0, config.bank_bytes, config.activation_bytes)) + rng.randint(-40, 40) if crowded \
            else rng.randrange(config.activation_bytes)
        return place % config.activation_bytes // aligned * aligned

    async def drive(ctx):
        pending = dict.fromkeys((*sizes, "load"))
        offered = dict.fromkeys(pending)  # what is read in a later cycle
        next_write = None, 0
        writes = deque([[]] * (latency.ACTIVATION_WRITE - 1))
        for cycle in range(900):
            reads = {}
            # What was offered and taken in the cycle before may be read now.
            pending["pool"] = offered["pool"]
            for name in "window", "residual", "store", "load":
                if pending[name] is None:
                    pending[name], offered[name] = offered[name], None
            offered["pool"] = address() if rng.random() < .3 else None
            ctx.set(dut.pool, {"valid": offered["pool"] is not None,
                               "address": address() if offered["pool"] is None else offered["pool"]})
            for name, aligned in ("window", 1), ("residual", 1), ("store", beat):
                if offered[name] is None and rng.random() < (.5 if name == "residual" else .7):
                    offered[name] = address(aligned)
                port = getattr(dut, name)
                ctx.set(port.valid, offered[name] is not None)
                ctx.set(port.payload.address, address(aligned) if offered[name] is None else offered[name])
            # A write is announced a cycle before its data.
            write, next_write = next_write, (address() if rng.random() < .6 else None, rng.getrandbits(aux_bytes))
            data = rng.getrandbits(8 * aux_bytes)
            ctx.set(dut.write, {"valid": next_write[0] is not None, "address": next_write[0] or 0,
                                "mask": next_write[1]})
            ctx.set(dut.write_data, data)
            if offered["load"] is None and rng.random() < .5:
                offered["load"] = address(beat), rng.getrandbits(config.bus_bits)
            ctx.set(dut.load.valid, offered["load"] is not None)
            ctx.set(dut.load.payload, dict(zip(("address", "data"), offered["load"] or (0, 0))))

            # Who is served, each all or nothing.
            taken = set()
            for name in sizes:
                if pending[name] is None:
                    continue
                needed = model.memories(model.run(pending[name], sizes[name]))
                # There is one data path for both reads of the post-processor, and no store beside a pooled byte. What
                # waits, waits at its memories.
                refused = needed & taken or name != "window" and "pool" in reads
                taken |= needed
                if refused:
                    counts[f"refused_{name}"] += 1
                else:
                    reads[name], pending[name] = pending[name], None
            for name in "window", "residual", "store":
                assert ctx.get(getattr(dut, name).ready) == (pending[name] is None), f"{name} in cycle {cycle}"
            for name, start in reads.items():
                due[data_ports[name]][cycle + latency.ACTIVATION_READ] = model.read(model.run(start, sizes[name]))
                counts[name] += 1

            for a, value in writes.popleft():
                model.bytes[a] = value
            # Bytes whose data come now are for later cycles.
            start, mask = write
            written = [] if start is None else [
                (a, data >> 8 * n & 255) for n, a in enumerate(model.run(start, aux_bytes)) if mask >> n & 1]
            if pending["load"] is not None:
                run = model.run(pending["load"][0], beat)
                busy = model.memories(a for a, _ in written)
                clash = bool(model.memories(run) & busy)
                # What can be written is, also of a beat that has to wait.
                written += [(a, pending["load"][1] >> 8 * n & 255) for n, a in enumerate(run)
                            if not model.memories([a]) & busy]
                counts["refused_load"] += clash
                if not clash:
                    counts["loads"] += 1
                    pending["load"] = None
            assert ctx.get(dut.load.ready) == (pending["load"] is None), f"load in cycle {cycle}"
            writes.append(written)

            await ctx.tick()
            for name, results in due.items():
                due_last[name] = results.get(cycle + 1, due_last[name])
                if due_last[name] is not None:
                    assert ctx.get(getattr(dut, f"{name}_data")) == due_last[name], f"{name} in cycle {cycle + 1}"

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert min(counts.values()) > 10, counts
