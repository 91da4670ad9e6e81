"""The dispatcher: programs read in order, commands given to all units at once, broken programs refused."""

import random

import pytest
from amaranth.sim import Simulator

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import FIELDS, Error, Opcode
from hw.dispatch import LAYER_COMMANDS, Dispatcher

CONFIG = EngineConfig.preset("tiny")
PROGRAM = 0x1000
LIMIT = 5_000
TRANSFER = dict(memory_address=0x12345678, activation_address=0x1F0, beats=77)


def begin(**changes) -> bytes:
    fields = dict(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION, configuration=CONFIG.hash,
                  seed_low=0x89ABCDEF, seed_high=0x01234567)
    return descriptor.pack(**{**fields, **changes})


def layer(rng) -> dict:
    """A LAYER descriptor with random field values."""
    names = [name for name in FIELDS if name not in (
        "opcode", "magic", "version", "configuration", "seed_low", "seed_high", "memory_address", "activation_address",
        "beats")]
    values = {}
    for name in names:
        field = FIELDS[name]
        value = rng.randrange(1 << field.bits)
        values[name] = value - (1 << field.bits) if field.signed and value >> field.bits - 1 else value or 1
    return dict(values, opcode=Opcode.LAYER, wait_layers=0, wait_loads=0)


def run(program: list[bytes], rng) -> dict:
    """Runs a program with random stalls; every layer, load and store is done some cycles after its command."""
    dut = Dispatcher(CONFIG)
    image = b"".join(program)
    ports = {name: getattr(dut, name) for name in (*LAYER_COMMANDS, "load", "store")}
    result = {"commands": {name: [] for name in ports}}

    async def memory(ctx):
        while True:
            ctx.set(dut.read.ready, 1)
            payload, = await ctx.tick().sample(dut.read.payload).until(dut.read.valid)
            ctx.set(dut.read.ready, 0)
            for beat in range(payload.beats):
                await ctx.tick().repeat(1 + rng.randrange(3))
                offset = payload.address - PROGRAM + beat * CONFIG.bus_bytes
                ctx.set(dut.beats.payload, int.from_bytes(image[offset:offset + CONFIG.bus_bytes], "little"))
                ctx.set(dut.beats.valid, 1)
                await ctx.tick().until(dut.beats.ready)
                ctx.set(dut.beats.valid, 0)

    async def units(ctx):
        done = {"layers": 0, "loads": 0, "stores": 0}
        pending = []
        while True:
            for port in ports.values():
                ctx.set(port.ready, rng.random() < .8)
            _, _, *samples = await ctx.tick().sample(*(
                signal for port in ports.values() for signal in (port.valid & port.ready, port.payload)))
            fired = [name for name, taken in zip(ports, samples[::2]) if taken]
            for name, taken, payload in zip(ports, samples[::2], samples[1::2]):
                if taken:
                    result["commands"][name].append(payload)
            if fired and fired[0] not in ("load", "store"):
                assert fired == list(LAYER_COMMANDS), "a layer's commands must all be taken in one cycle"
                pending.append(["layers", rng.randrange(1, 60)])
            elif fired:
                pending.append([f"{fired[0]}s", rng.randrange(1, 60)])
            for entry in pending:
                entry[1] -= 1
            while pending and pending[0][1] <= 0:
                kind = pending.pop(0)[0]
                done[kind] += 1
                ctx.set(getattr(dut, f"{kind}_done"), done[kind])
            result["done"], result["open"] = done, len(pending)

    async def driver(ctx):
        ctx.set(dut.program_address, PROGRAM)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for _ in range(LIMIT):
            await ctx.tick()
            if ctx.get(dut.done):
                result.update(error=Error(ctx.get(dut.error)), position=ctx.get(dut.position), seed=ctx.get(dut.seed))
                return
        raise TimeoutError("the program never ended")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(memory, background=True)
    sim.add_testbench(units, background=True)
    sim.add_testbench(driver)
    sim.run()
    return result


@pytest.mark.parametrize("seed", range(3))
def test_commands_carry_the_descriptors_fields(seed):
    rng = random.Random(seed)
    layers = [layer(rng) for _ in range(5)]
    for index, fields in enumerate(layers):
        fields.update(wait_layers=rng.randint(0, index), wait_loads=rng.randint(0, 1))
    load = dict(TRANSFER, wait_layers=0, wait_loads=0)
    store = dict(TRANSFER, wait_layers=5, wait_loads=1)
    result = run([begin(), descriptor.pack(opcode=Opcode.LOAD, **load),
                  *(descriptor.pack(**fields) for fields in layers),
                  descriptor.pack(opcode=Opcode.STORE, **store), descriptor.pack(opcode=Opcode.END)], rng)
    assert result["error"] is Error.NONE
    assert result["seed"] == 0x0123456789ABCDEF
    assert result["done"] == {"layers": 5, "loads": 1, "stores": 1} and not result["open"]
    for name, transfer in ("load", load), ("store", store):
        payload, = result["commands"][name]
        assert {key: payload[key] for key in transfer} == transfer
    for name in "mask", "parameters", "build", "passes", "post":
        payloads = result["commands"][name]
        assert len(payloads) == len(layers)
        for payload, fields in zip(payloads, layers):
            for key in LAYER_COMMANDS[name].members:
                assert payload[key] == fields[key], (name, key)
    for payload, fields, index in zip(result["commands"]["decode"], layers, range(2, 7)):
        assert payload.position == index and payload.command.symbol_bits == fields["symbol_bits"]
    for payload, fields in zip(result["commands"]["mask_read"], layers):
        assert payload.address == fields["mask_address"]
        assert payload.beats == -(-2 * fields["mask_words"] // CONFIG.bus_bytes) % (1 << 32)
    for payload, fields in zip(result["commands"]["parameter_read"], layers):
        assert (payload.address, payload.beats) == (
            fields["parameter_address"], -(-9 * fields["out_channels"] // CONFIG.bus_bytes))


END = descriptor.pack(opcode=Opcode.END)


def one(**changes) -> list[bytes]:
    """A program of one layer with some fields changed."""
    return [begin(), descriptor.pack(**{**layer(random.Random(3)), **changes}), END]


@pytest.mark.parametrize("program, error, position", [
    ([END, END], Error.BAD_PROGRAM, 0),
    ([descriptor.pack(**layer(random.Random(1))), END], Error.BAD_PROGRAM, 0),
    ([begin(magic=0), END], Error.BAD_PROGRAM, 0),
    ([begin(version=descriptor.VERSION + 1), END], Error.BAD_PROGRAM, 0),
    ([begin(configuration=CONFIG.hash ^ 1), END], Error.WRONG_CONFIGURATION, 0),
    ([begin(), descriptor.pack(**layer(random.Random(2))), descriptor.pack(opcode=9), END], Error.BAD_OPCODE, 2),
    ([begin(), begin(), END], Error.BAD_OPCODE, 1),
    (one(wait_layers=1), Error.IMPOSSIBLE, 1),
    (one(wait_loads=1), Error.IMPOSSIBLE, 1),
    (one(pixels=0), Error.IMPOSSIBLE, 1),
    (one(out_channels=0), Error.IMPOSSIBLE, 1),
    ([begin(), descriptor.pack(opcode=Opcode.LOAD, **{**TRANSFER, "beats": 0}), END], Error.IMPOSSIBLE, 1),
])
def test_broken_programs_end_in_an_error(program, error, position):
    result = run(program, random.Random(0))
    assert (result["error"], result["position"]) == (error, position)
    assert not result["open"], "the error did not wait for work under way"
    assert len(result["commands"]["post"]) == (1 if error is Error.BAD_OPCODE and position == 2 else 0)
