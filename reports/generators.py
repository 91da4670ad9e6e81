"""Forms of the random stream, synthesised: cells and rate; and what a rate costs networks in cycles. Record and
command: docs/generator.md."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator

from amaranth import *

from arch.config import PRESETS, STREAM_BLOCK, EngineConfig
from compiler.estimate import traffic
from compiler.expected import Coats, expected_mask, table
from compiler.geometry import geometries
from golden.networks import NETWORKS, network_topology
from hw.threefry import PARITY, ROTATIONS, ROUNDS_PER_INJECTION, RandomStream
from reports.area.blocks import standalone_verilog
from reports.area.cost import cost_of_cells
from reports.area.synthesis import FPGAS, commands, run_yosys
from reports.tables import print_markdown
from reports.tools import find_yosys

__all__ = ["VARIANTS", "PipelinedStream", "RingStream", "cycles_at"]


class PipelinedStream(RandomStream):
    """:class:`hw.threefry.RandomStream` with a register every ``every`` rounds, and behind the last.

    Latency: one cycle more than registers between rounds; one block per cycle.
    """

    def __init__(self, rounds: int, every: int):
        super().__init__(rounds)
        self._every = every

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.signs.valid | self.signs.ready), self.request.ready.eq(advance)]
        key = [self.seed[:32], self.seed[32:], Signal(32)]
        m.d.sync += key[2].eq(key[0] ^ key[1] ^ PARITY)
        left = _held(m, advance, (self.request.payload.block + key[0])[:32])
        right = _held(m, advance, (self.request.payload.stream + key[1])[:32])
        valid = _held(m, advance, self.request.valid)
        for done in range(self._rounds):
            left, right = _round(left, right, ROTATIONS[done % len(ROTATIONS)])
            injection, rest = divmod(done + 1, ROUNDS_PER_INJECTION)
            if rest == 0:
                numbered = Signal(32)
                m.d.sync += numbered.eq(key[(injection + 1) % 3] + injection)
                left, right = (left + key[injection % 3])[:32], (right + numbered)[:32]
            if (done + 1) % self._every == 0 or done == self._rounds - 1:
                left, right, valid = (_held(m, advance, value) for value in (left, right, valid))
        m.d.comb += [self.signs.payload.eq(Cat(left, right)), self.signs.valid.eq(valid)]
        return m


class RingStream(RandomStream):
    """The random stream folded: a ring of ``groups`` times an injection and four rounds, a register for each.

    Operation: a block goes round until it has had all rounds. All blocks in the ring are on the same trip, so a request
    is taken in the first of ``trips`` trips only. Key words are selected, and counted up, in the cycle before they are
    added.

    Latency: rounds + injections cycles from an accepted request to its signs; one block per ``trips`` cycles.

    Members: as :class:`hw.threefry.RandomStream`, but the seed is static from the cycle before the first request.
    """

    def __init__(self, rounds: int, groups: int):
        super().__init__(rounds)
        self._groups = groups
        self.trips = _trips(rounds, groups)

    def _keys(self, m: Module, trip: Value, group: int) -> tuple[Value, Value]:
        """Registers of the key words that ``group`` adds on ``trip``, the trip in the next cycle."""
        first, second = self.seed[:32], self.seed[32:]
        words = (first, second, first ^ second ^ PARITY)
        left, right = Signal(32), Signal(32)
        chosen, count = Signal(32), Signal(3)
        with m.Switch(trip):
            for number in range(self.trips):
                injection = number * self._groups + group
                with m.Case(number):
                    m.d.sync += left.eq(words[injection % 3])
                    m.d.comb += [chosen.eq(words[(injection + 1) % 3]), count.eq(injection)]
        m.d.sync += right.eq(chosen + count)
        return left, right

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        slots = self._groups * (ROUNDS_PER_INJECTION + 1)
        slot, trip = Signal(range(slots)), Signal(range(self.trips))
        ends = slot == slots - 1
        later = Signal.like(trip)
        m.d.comb += [
            later.eq(Mux(advance & ends, Mux(trip == self.trips - 1, 0, trip + 1), trip)),
            self.request.ready.eq(advance & (trip == 0)),
        ]
        m.d.sync += trip.eq(later)
        with m.If(advance):
            m.d.sync += slot.eq(Mux(ends, 0, slot + 1))

        # The registers that close the ring.
        end = [Signal(32, reset_less=True) for _ in range(2)]
        full = Signal()
        left, right = (Mux(trip == 0, word, last) for word, last in zip(
            (self.request.payload.block, self.request.payload.stream), end))
        valid, at, ahead = Mux(trip == 0, self.request.valid, full), trip, later
        last_group, rest = self._groups - 1, self._rounds % ROUNDS_PER_INJECTION
        for group in range(self._groups):
            keys = self._keys(m, ahead, group)
            left, right = (_held(m, advance, (word + key)[:32]) for word, key in zip((left, right), keys))
            valid, at = _held(m, advance, valid), _held(m, advance, at)
            for done in range(ROUNDS_PER_INJECTION + 1):
                if (group, done) == (last_group, rest):
                    last = at == self.trips - 1
                    m.d.comb += [
                        self.signs.payload.eq(Cat(left, right)),
                        self.signs.valid.eq(valid & last),
                        advance.eq(~self.signs.valid | self.signs.ready),
                    ]
                    valid = valid & ~last
                if done == ROUNDS_PER_INJECTION:
                    break
                even, odd = ROTATIONS[done], ROTATIONS[done + ROUNDS_PER_INJECTION]
                if self._groups % 2:
                    left, right = _round(left, right, even, odd, at[0])
                else:
                    left, right = _round(left, right, odd if group % 2 else even)
                before = at
                left, right, valid, at = (_held(m, advance, value) for value in (left, right, valid, at))
                ahead = Mux(advance, before, at)
        m.d.comb += [end[0].eq(left), end[1].eq(right), full.eq(valid)]
        return m


def _trips(rounds: int, groups: int) -> int:
    """How often a block goes round in a ring of ``groups`` injections: cycles per block."""
    return (rounds // ROUNDS_PER_INJECTION + 1) // groups


def _held(m: Module, advance: Value, value: Value) -> Signal:
    register = Signal(len(value), reset_less=len(value) == 32)
    with m.If(advance):
        m.d.sync += register.eq(value)
    return register


def _round(left: Value, right: Value, rotation: int, other: int = 0,
           select: Value | None = None) -> tuple[Value, Value]:
    """A round with one rotation, or with the ``other`` where ``select`` is set."""
    total = (left + right)[:32]
    rotated = right.rotate_left(rotation)
    if select is not None:
        rotated = Mux(select, right.rotate_left(other), rotated)
    return total, rotated ^ total


VARIANTS = {
    "a register per round": (lambda rounds: RandomStream(rounds), lambda rounds: 1),
    "a register every 2 rounds": (lambda rounds: PipelinedStream(rounds, 2), lambda rounds: 1),
    "a register every 4 rounds": (lambda rounds: PipelinedStream(rounds, 4), lambda rounds: 1),
    "a ring of 8 rounds": (lambda rounds: RingStream(rounds, 2), lambda rounds: _trips(rounds, 2)),
    "a ring of 4 rounds": (lambda rounds: RingStream(rounds, 1), lambda rounds: _trips(rounds, 1)),
}
"""By name: the component, and cycles per block, each from the number of rounds."""


def _cells(target: str, each: list[int], yosys: str) -> Iterator[tuple[str, ...]]:
    """Rows of the table of variants."""
    for rounds in each:
        for name, (form, interval) in VARIANTS.items():
            module, _ = run_yosys(standalone_verilog(form(rounds)), commands(target, None), yosys)
            cost = cost_of_cells(module["num_cells_by_type"], 0., target)
            yield f"{rounds}", name, f"{interval(rounds)}", f"{cost.luts:,}", f"{cost.flip_flops:,}"


def cycles_at(network: str, config: EngineConfig, interval: int, kept: bool) -> int:
    """Cycles of an inference, about, if a generator gives a block every ``interval`` cycles. If blocks are ``kept``
    until all their signs are used, each is made once in a column tile; else once for every weight row."""
    topology = network_topology(network)
    weights = Coats((.3,), "best")
    layers = geometries(topology)
    masks = []
    for geometry in layers:
        mask = expected_mask(geometry, weights, config).size
        rows = -(-geometry.run_bytes // STREAM_BLOCK) if kept else geometry.run_chunks(config)
        blocks = [geometry.layer.kernel * rows * -(-geometry.tile_columns(config, tile) // config.build_columns)
                  for tile in range(len(mask.tile_cycles))]
        masks.append(dataclasses.replace(mask, tile_cycles=tuple(
            max(served, interval * count) for served, count in zip(mask.tile_cycles, blocks))))
    return traffic(topology, config, masks, [table(weights, geometry.layer.weights) for geometry in layers]).cycles


def _cycles(networks: list[str], presets: list[str]) -> Iterator[tuple[str, ...]]:
    """Rows of the table of cycles."""
    for preset in presets:
        for network in networks:
            base = cycles_at(network, PRESETS[preset], 1, False)
            more = [cycles_at(network, PRESETS[preset], interval, kept) / base
                    for kept in (False, True) for interval in (2, 4)]
            yield preset, network, f"{base:,}", *(f"{100 * (ratio - 1):+.1f}%" for ratio in more)


def main(arguments: list[str] | None = None) -> int:
    """Exit status of ``python -m reports.generators``."""
    parser = argparse.ArgumentParser(prog="python -m reports.generators", description=__doc__)
    parser.add_argument("target", choices=(*FPGAS, "cycles"), help="cells on an FPGA, or cycles of networks")
    parser.add_argument("--rounds", nargs="+", type=int, choices=(13, 20), default=[13, 20], help="of generators")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NETWORK",
                        default=["fashion", "resnet18-cifar", "resnet18"], help="of `cycles` (default: %(default)s)")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["edge", "base"],
                        help="of `cycles` (default: %(default)s)")
    parser.add_argument("--yosys", help="Yosys to run")
    options = parser.parse_args(arguments)
    if options.target == "cycles":
        header = ("preset", "network", "cycles", "1/2", "1/4", "1/2, blocks kept", "1/4, blocks kept")
        return print_markdown(header, lambda: _cycles(options.networks, options.presets), unit="row")
    header = ("rounds", "generator", "cycles per block", "LUT", "flip-flops")
    return print_markdown(header, lambda: _cells(options.target, options.rounds, find_yosys(options.yosys)), unit="row")


if __name__ == "__main__":
    sys.exit(main())
