"""The dispatcher: programs read in order, commands given to all units at once, broken programs refused."""

import random

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.sim import Simulator

from arch import descriptor, latency
from arch.config import EngineConfig
from arch.descriptor import FIELDS, Error, Opcode
from hw.commands import DecodeCommand
from hw.crc import StreamCrc
from hw.dispatch import LAYER_COMMANDS, Dispatcher

CONFIG = EngineConfig.preset("tiny")
BEATS = CONFIG.activation_bytes // CONFIG.bus_bytes
PROGRAM = 0x1000
LIMIT = 5_000
TRANSFER = dict(memory_address=0x12345680, activation_address=0x180, beats=77)


class Checked(wiring.Component):
    """A dispatcher with a CRC unit that sees other beats in between."""

    def __init__(self, config):
        self.config, self.dispatcher = config, Dispatcher(config)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dispatcher = dispatcher = self.dispatcher
        m.submodules.crc = crc = StreamCrc(self.config.bus_bits, 2)
        mine = dispatcher.beats.valid & dispatcher.beats.ready
        m.d.comb += [
            crc.valid.eq(1),
            crc.stream.eq(~mine),
            crc.first.eq(mine & dispatcher.first),
            crc.beat.eq(dispatcher.beats.payload.data),
            dispatcher.crc.eq(crc.state),
        ]
        return m


def begin(config=CONFIG, **changes) -> bytes:
    fields = dict(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION, configuration=config.hash,
                  seed_low=0x89ABCDEF, seed_high=0x01234567)
    return descriptor.pack(**{**fields, **changes})


def layer(rng, config=CONFIG) -> dict:
    """A LAYER descriptor with random field values, addresses of beats among them."""
    names = [name for name in FIELDS if name not in (
        "opcode", "crc", "magic", "version", "configuration", "seed_low", "seed_high", "memory_address",
        "activation_address", "beats")]
    values = {}
    for name in names:
        field = FIELDS[name]
        value = rng.randrange(1 << field.bits)
        values[name] = value - (1 << field.bits) if field.signed and value >> field.bits - 1 else value or 1
    for name in "mask_address", "parameter_address":
        values[name] -= values[name] % config.bus_bytes
    return dict(values, opcode=Opcode.LAYER, wait_layers=0, wait_loads=0, wait_stores=0, mask_keep=0, mask_reuse=0,
                parameter_keep=0, parameter_reuse=0)


def run(program: list[bytes], rng, config=CONFIG, address=PROGRAM, halt_at=None, stuck=(), expire_at=None) -> dict:
    """Runs a program with random stalls; every layer, load and store is done some cycles after its command, but not
    those of the kinds in ``stuck``."""
    design = Checked(config)
    dut = design.dispatcher
    image = b"".join(program)
    ports = {name: getattr(dut, name) for name in (*LAYER_COMMANDS, "load", "store")}
    result = {"commands": {name: [] for name in ports}, "read": [], "ended": False}

    async def memory(ctx):
        while True:
            ctx.set(dut.read.ready, 1)
            payload, = await ctx.tick().sample(dut.read.payload).until(dut.read.valid)
            ctx.set(dut.read.ready, 0)
            assert payload.address == PROGRAM + descriptor.BYTES * payload.position
            assert payload.beats == descriptor.BYTES // config.bus_bytes
            result["read"].append(payload.position)
            ctx.set(dut.quiet, 0)
            for beat in range(payload.beats):
                await ctx.tick().repeat(1 + rng.randrange(3))
                offset = payload.address - PROGRAM + beat * config.bus_bytes
                ctx.set(dut.beats.payload, {"data": int.from_bytes(image[offset:offset + config.bus_bytes], "little"),
                                            "position": payload.position, "last": beat == payload.beats - 1})
                ctx.set(dut.beats.valid, 1)
                await ctx.tick().until(dut.beats.ready)
                ctx.set(dut.beats.valid, 0)
            ctx.set(dut.quiet, 1)

    async def units(ctx):
        done = {"layers": 0, "loads": 0, "stores": 0}
        pending, halted = [], 0
        while True:
            for port in ports.values():
                if not ctx.get(port.ready):
                    ctx.set(port.ready, rng.random() < .8)
            _, _, *samples = await ctx.tick().sample(*(
                signal for port in ports.values() for signal in (port.valid & port.ready, port.payload)))
            fired = [name for name, taken in zip(ports, samples[::2]) if taken]
            for name, taken, payload in zip(ports, samples[::2], samples[1::2]):
                if taken:
                    ctx.set(ports[name].ready, 0)
                    result["commands"][name].append(payload)
            if fired and fired[0] not in ("load", "store"):
                assert fired == list(LAYER_COMMANDS), "a layer's commands must all be taken in one cycle"
                pending.append(["layers", rng.randrange(1, 60)])
            elif fired:
                pending.append([f"{fired[0]}s", rng.randrange(1, 60)])
            assert not (fired and halted), "a command was given in spite of the halt"
            halted = ctx.get(dut.halt)
            assert not (fired and result["ended"])
            for entry in pending:
                entry[1] -= entry[0] not in stuck
            while pending and pending[0][1] <= 0:
                kind = pending.pop(0)[0]
                done[kind] += 1
                ctx.set(getattr(dut, f"{kind}_done"), done[kind])
            result["done"], result["open"] = done, len(pending)

    async def driver(ctx):
        ctx.set(dut.quiet, 1)
        ctx.set(dut.program_address, address)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for cycle in range(LIMIT):
            await ctx.tick()
            ctx.set(dut.expired, cycle == expire_at)
            if cycle == halt_at:
                ctx.set(dut.halt, 1)
            if ctx.get(dut.done):
                result.update(error=Error(ctx.get(dut.error)), position=ctx.get(dut.position), seed=ctx.get(dut.seed),
                              cycle=cycle, ended=True)
                await ctx.tick().repeat(50)
                return
        raise TimeoutError("the program never ended")

    sim = Simulator(design)
    sim.add_clock(1e-6)
    sim.add_testbench(memory, background=True)
    sim.add_testbench(units, background=True)
    sim.add_testbench(driver)
    sim.run()
    return result


@pytest.mark.parametrize("seed, bus_bits", [(0, 64), (1, 64), (2, 32), (3, 256), (4, 512), (5, 1024)])
def test_commands_carry_the_descriptors_fields(seed, bus_bits):
    rng = random.Random(seed)
    config = EngineConfig.preset("tiny", lanes=64, bus_bits=bus_bits, mask_bytes=8192, parameter_channels=512)
    layers = [layer(rng, config) for _ in range(5)]
    for index, fields in enumerate(layers):
        fields.update(wait_layers=rng.randint(0, index), wait_loads=rng.randint(0, 1), wait_stores=rng.randint(0, 1))
    # Masks stay for two more layers, parameters for one.
    for index in (1, 2):
        layers[index]["mask_keep"] = layers[index + 1]["mask_reuse"] = 1
    layers[3]["parameter_keep"] = layers[4]["parameter_reuse"] = 1
    load = dict(TRANSFER, wait_layers=0, wait_loads=0, wait_stores=1)
    stores = [dict(TRANSFER, wait_layers=0), dict(TRANSFER, wait_layers=5, wait_loads=1, wait_stores=1)]
    program = [begin(config), descriptor.pack(opcode=Opcode.STORE, **stores[0]),
               descriptor.pack(opcode=Opcode.LOAD, **load), *(descriptor.pack(**fields) for fields in layers),
               descriptor.pack(opcode=Opcode.STORE, **stores[1]), descriptor.pack(opcode=Opcode.END)]
    # What follows END is not read.
    result = run([*program, begin(config), begin(config)], rng, config)
    assert result["error"] is Error.NONE
    assert result["read"] == list(range(len(program)))
    assert result["seed"] == 0x0123456789ABCDEF
    assert result["done"] == {"layers": 5, "loads": 1, "stores": 2} and not result["open"]
    for name, transfers in ("load", {2: load}), ("store", {1: stores[0], 8: stores[1]}):
        for payload, (position, transfer) in zip(result["commands"][name], transfers.items(), strict=True):
            assert {key: payload[key] for key in transfer} == transfer
            assert payload.position == position
    for name in "mask", "parameters", "build", "passes", "post":
        payloads = result["commands"][name]
        assert len(payloads) == len(layers)
        for payload, fields in zip(payloads, layers):
            for key in LAYER_COMMANDS[name].members:
                assert payload[key] == fields[key], (name, key)
    for payload, fields, index in zip(result["commands"]["decode"], layers, range(3, 8)):
        assert payload.position == index
        for key in DecodeCommand.members:
            assert payload.command[key] == fields[key], key
    for name in "mask", "parameter":
        for payload, fields, index in zip(result["commands"][f"{name}_read"], layers, range(3, 8)):
            assert (payload.address, payload.position) == (fields[f"{name}_address"], index)
            assert payload.beats == (0 if fields[f"{name}_reuse"] else fields[f"{name}_beats"])


END = descriptor.pack(opcode=Opcode.END)


def layers_of(*changes: dict) -> list[bytes]:
    """A program of layers with some fields changed."""
    return [begin(), *(descriptor.pack(**{**layer(random.Random(3)), **fields}) for fields in changes), END]


def one(**changes) -> list[bytes]:
    """A program of one layer with some fields changed."""
    return layers_of(changes)


def flipped(octets: bytes, bit: int) -> bytes:
    return (int.from_bytes(octets, "little") ^ 1 << bit).to_bytes(len(octets), "little")


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
    (one(wait_stores=1), Error.IMPOSSIBLE, 1),
    (one(mask_reuse=1), Error.IMPOSSIBLE, 1),
    (one(parameter_reuse=1), Error.IMPOSSIBLE, 1),
    (one(mask_keep=1), Error.IMPOSSIBLE, 2),
    (one(parameter_keep=1), Error.IMPOSSIBLE, 2),
    (layers_of({"mask_keep": 1}, {}), Error.IMPOSSIBLE, 2),
    (layers_of({"mask_keep": 1}, {"mask_reuse": 1}, {"mask_reuse": 1}), Error.IMPOSSIBLE, 3),
    (layers_of({"mask_keep": 1}, {"parameter_reuse": 1}), Error.IMPOSSIBLE, 2),
    (one(pixels=0), Error.IMPOSSIBLE, 1),
    (one(out_channels=0), Error.IMPOSSIBLE, 1),
    ([begin(), descriptor.pack(opcode=Opcode.LOAD, **{**TRANSFER, "beats": 0}), END], Error.IMPOSSIBLE, 1),
    ([begin(), descriptor.pack(opcode=Opcode.STORE, **{**TRANSFER, "beats": BEATS + 1}), END], Error.IMPOSSIBLE, 1),
    ([begin(), descriptor.pack(opcode=Opcode.LOAD, **{**TRANSFER, "beats": (1 << 24) - 1}), END], Error.IMPOSSIBLE, 1),
])
def test_broken_programs_end_in_an_error(program, error, position):
    result = run(program, random.Random(0))
    assert (result["error"], result["position"]) == (error, position)
    assert not result["open"], "the error did not wait for work under way"
    assert len(result["commands"]["post"]) == max(0, position - 1)


@pytest.mark.parametrize("bus_bits", (32, 1024))
@pytest.mark.parametrize("opcode, name", [
    (Opcode.LOAD, "memory_address"), (Opcode.LOAD, "activation_address"), (Opcode.STORE, "memory_address"),
    (Opcode.STORE, "activation_address"), (Opcode.LAYER, "mask_address"), (Opcode.LAYER, "parameter_address")])
def test_addresses_inside_a_beat(opcode, name, bus_bits):
    """The lowest or the highest bit below a beat, in one operation after others without any."""
    config = EngineConfig.preset("tiny", lanes=64, bus_bits=bus_bits, mask_bytes=8192, parameter_channels=512)
    rng = random.Random(f"{opcode} {name} {bus_bits}")
    good = {Opcode.LOAD: dict(TRANSFER, opcode=Opcode.LOAD), Opcode.LAYER: layer(rng, config),
            Opcode.STORE: dict(TRANSFER, opcode=Opcode.STORE)}
    bad = dict(good[opcode])
    bad[name] += rng.choice((1, config.bus_bytes // 2))
    program = [begin(config), *(descriptor.pack(**fields) for fields in (*good.values(), bad)), END]
    result = run(program, rng, config)
    assert (result["error"], result["position"]) == (Error.IMPOSSIBLE, 4)
    assert {kind: len(commands) for kind, commands in result["commands"].items()} == dict.fromkeys(
        (*LAYER_COMMANDS, "load", "store"), 1)


@pytest.mark.parametrize("offset", (1, 2, CONFIG.bus_bytes // 2))
def test_a_program_inside_a_beat(offset):
    result = run([begin(), END], random.Random(0), address=PROGRAM + offset)
    assert (result["error"], result["position"], result["read"]) == (Error.IMPOSSIBLE, 0, [])


@pytest.mark.parametrize("seed", range(12))
def test_a_wrong_bit_anywhere_is_found(seed):
    rng = random.Random(seed)
    program = [begin(), descriptor.pack(**layer(rng)), descriptor.pack(opcode=Opcode.LOAD, **TRANSFER),
               descriptor.pack(**layer(rng)), END]
    position = rng.randrange(len(program))
    program[position] = flipped(program[position], rng.randrange(8 * descriptor.BYTES))
    result = run(program, rng)
    assert (result["error"], result["position"]) == (Error.PROGRAM_CRC, position)
    assert len(result["commands"]["post"]) == (position > 1) + (position > 3)
    assert result["read"] == list(range(position + 1)), "nothing behind it is read"


def test_a_halt_ends_the_program():
    """``run`` asserts that nothing is given any more."""
    program = [begin(), *[descriptor.pack(opcode=Opcode.LOAD, **TRANSFER)] * 20, END]
    result = run(program, random.Random(1), halt_at=300)
    assert result["error"] is Error.NONE and not result["open"]
    assert 0 < len(result["commands"]["load"]) < 20


@pytest.mark.parametrize("stuck, expire_at", [("loads", 2000), ("layers", 2000), ((), 150)])
def test_the_watchdog_ends_the_program(stuck, expire_at):
    load = descriptor.pack(opcode=Opcode.LOAD, **TRANSFER)
    program = [begin(), load, descriptor.pack(**layer(random.Random(1))), END]
    result = run(program, random.Random(1), stuck=stuck, expire_at=expire_at)
    assert result["cycle"] == expire_at + 1
    assert bool(result["open"]) == bool(stuck)


def test_the_next_descriptor_is_read_ahead():
    """While one waits for its units, the next one comes; no further one does."""
    design = Checked(CONFIG)
    dut = design.dispatcher
    program = [begin(), *[descriptor.pack(opcode=Opcode.LOAD, **TRANSFER)] * 4, END]
    image = b"".join(program)
    read = []

    async def memory(ctx):
        while True:
            ctx.set(dut.read.ready, 1)
            payload, = await ctx.tick().sample(dut.read.payload).until(dut.read.valid)
            ctx.set(dut.read.ready, 0)
            read.append(payload.position)
            ctx.set(dut.beats.valid, 1)
            for offset in range(0, descriptor.BYTES, CONFIG.bus_bytes):
                start = payload.address - PROGRAM + offset
                ctx.set(dut.beats.payload, {"data": int.from_bytes(image[start:start + CONFIG.bus_bytes], "little"),
                                            "last": offset == descriptor.BYTES - CONFIG.bus_bytes})
                await ctx.tick().until(dut.beats.ready)
            ctx.set(dut.beats.valid, 0)

    async def driver(ctx):
        beats = descriptor.BYTES // CONFIG.bus_bytes
        ctx.set(dut.program_address, PROGRAM)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().repeat(200)
        assert read == [0, 1, 2] and not ctx.get(dut.load.valid) and ctx.get(dut.position) == 1
        ctx.set(dut.load.ready, 1)
        await ctx.tick().repeat(latency.ROOM + latency.GIVE)
        assert ctx.get(dut.load.valid)
        await ctx.tick()
        assert not ctx.get(dut.load.valid)
        await ctx.tick().repeat(beats + latency.JUDGE)
        assert ctx.get(dut.load.valid), "it comes out of the queue, one beat per cycle"
        assert ctx.get(dut.load.payload.position) == 2

    sim = Simulator(design)
    sim.add_clock(1e-6)
    sim.add_testbench(memory, background=True)
    sim.add_testbench(driver)
    sim.run()
    assert read[:3] == [0, 1, 2]
