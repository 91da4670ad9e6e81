"""The engine's whole control path: a small program in two strips, undisturbed, and with everything that can break."""

import random
import zlib
from collections import namedtuple

import pytest
from amaranth import *
from amaranth.sim import Simulator

from arch import descriptor
from arch.config import EngineConfig
from arch.counters import COUNTERS
from arch.descriptor import Code, Error, Opcode
from hw.engine import Engine
from tests.hw.mask_stream import encode, pack
from tests.hw.segments import segmented

CONFIG = EngineConfig.preset("tiny", watchdog_cycles=2048)
BEAT = CONFIG.bus_bytes
CHANNELS, OUTS, WIDTH, STRIP_ROWS = 8, 6, 3, 2
INPUT, PROGRAM, MASKS, PARAMETERS, OUTPUT = 0x0, 0x1000, 0x2000, 0x3000, 0x4000
INPUT_BYTES, STRIP_OUTPUT = 2 * STRIP_ROWS * WIDTH * CHANNELS, STRIP_ROWS * WIDTH * OUTS
LOCAL_OUTPUT = 0x800

Run = namedtuple("Run", "error position segment cycles memory counters")


def network(rng):
    """(memory image by beat address, expected output bytes) of a 1x1 convolution with stored weights."""
    image = [[rng.randint(-128, 127) for _ in range(CHANNELS)] for _ in range(2 * STRIP_ROWS * WIDTH)]
    weights = [[rng.randint(-7, 7) for _ in range(CHANNELS)] for _ in range(OUTS)]
    records = [(rng.randint(-(1 << 12), 1 << 12), rng.randint(-(1 << 20), 1 << 20)) for _ in range(OUTS)]
    shift = 14

    def output(pixel, out):
        multiplier, bias = records[out]
        total = sum(a * w for a, w in zip(pixel, weights[out])) * multiplier + bias
        return max(-128, min(127, (total + (1 << shift - 1)) >> shift))

    expected = bytes(output(pixel, out) % 256 for pixel in image for out in range(OUTS))
    words = encode((CONFIG.columns, CONFIG.lanes, CONFIG.build_columns), (OUTS, CHANNELS, 1, 1), "stored", 4,
                   [weight for row in weights for weight in row]).words
    masks = segmented(pack(words, CONFIG.bus_bits), CONFIG.bus_bits)
    octets = b"".join((m % (1 << 18) | b % (1 << 48) << 18).to_bytes(9, "little") for m, b in records)
    parameters = segmented(beats(octets), CONFIG.bus_bits)
    pixels = STRIP_ROWS * WIDTH
    layer = dict(
        opcode=Opcode.LAYER, input_height=STRIP_ROWS, row_bytes=WIDTH * CHANNELS, step_bytes=CHANNELS,
        run_bytes=CHANNELS, kernel_rows=1, stride=1, row_step_bytes=WIDTH * CHANNELS, run_chunks=1, run_blocks=1,
        map_height=STRIP_ROWS, map_width=WIDTH, pixels=pixels, pixel_tiles=2, tile_pixels=pixels - 2,
        out_channels=OUTS, column_tiles=2, mask_address=MASKS, mask_words=len(words), code=Code.STORED, symbol_bits=4,
        parameter_address=PARAMETERS, shift=shift, clamp_low=-128)
    strip_beats = INPUT_BYTES // 2 // BEAT
    program = [
        descriptor.pack(opcode=Opcode.BEGIN, magic=descriptor.MAGIC, version=descriptor.VERSION,
                        configuration=CONFIG.hash),
        descriptor.pack(opcode=Opcode.LOAD, memory_address=INPUT, activation_address=0, beats=strip_beats),
        descriptor.pack(**layer, wait_loads=1, mask_beats=len(masks), parameter_beats=len(parameters), mask_keep=1,
                        parameter_keep=1, output_address=LOCAL_OUTPUT),
        descriptor.pack(opcode=Opcode.LOAD, memory_address=INPUT + strip_beats * BEAT,
                        activation_address=strip_beats * BEAT, beats=strip_beats),
        descriptor.pack(**layer, wait_loads=2, input_address=strip_beats * BEAT, mask_reuse=1, parameter_reuse=1,
                        output_address=LOCAL_OUTPUT + STRIP_OUTPUT),
        descriptor.pack(opcode=Opcode.STORE, wait_layers=2, memory_address=OUTPUT, activation_address=LOCAL_OUTPUT,
                        beats=2 * STRIP_OUTPUT // BEAT),
        descriptor.pack(opcode=Opcode.END)]
    memory = {}
    for address, content in ((INPUT, beats(bytes(value % 256 for pixel in image for value in pixel))),
                             (PROGRAM, beats(b"".join(program))), (MASKS, masks), (PARAMETERS, parameters)):
        memory.update({address + BEAT * number: beat for number, beat in enumerate(content)})
    return memory, expected


def beats(octets: bytes) -> list[int]:
    octets += bytes(-len(octets) % BEAT)
    return [int.from_bytes(octets[at:at + BEAT], "little") for at in range(0, len(octets), BEAT)]


def output_of(memory) -> bytes:
    return b"".join(memory[OUTPUT + BEAT * number].to_bytes(BEAT, "little")
                    for number in range(2 * STRIP_OUTPUT // BEAT))


class Bench:
    """One engine for many runs, each after a reset: simulators are slow to build."""

    def __init__(self):
        self.reset = Signal()
        self.engine = Engine(CONFIG)
        self.simulator = Simulator(ResetInserter(self.reset)(self.engine))
        self.simulator.add_clock(1e-6)
        self.work = None
        self.result = None
        self.simulator.add_testbench(self.testbench, background=True)

    def run(self, memory, **disturbance) -> Run:
        """A run on a copy of ``memory``. ``disturbance``: of :meth:`one`."""
        self.work, self.result = (dict(memory), disturbance), None
        while self.result is None:
            self.simulator.advance()
        return self.result

    async def testbench(self, ctx):
        while True:
            if self.work is None:
                await ctx.tick()
            else:
                (memory, disturbance), self.work = self.work, None
                self.result = await self.one(ctx, memory, **disturbance)

    async def one(self, ctx, memory, *, reset=True, until=None, rng=None, latency=1, read_error=None, write_error=False,
                  stuck=None, program=PROGRAM):
        """Runs the program at address ``program``. The memory is one that would round addresses down to beats, and
        none is to be rounded. ``until``: only so many cycles. ``rng``: the bus stalls at random. ``read_error``:
        address of a bad beat. ``stuck``: cycle from which on the bus does nothing."""
        engine, port = self.engine, self.engine.memory
        if reset:
            ctx.set(self.reset, 1)
            for stream in port.read_data, port.write_done:
                ctx.set(stream.valid, 0)
            await ctx.tick()
            ctx.set(self.reset, 0)
        ctx.set(engine.program_address, program)
        ctx.set(engine.start, 1)
        await ctx.tick()
        ctx.set(engine.start, 0)
        reads, writes, done = [], [], 0
        for cycle in range(1, until or 20_000):
            def lively():
                return (stuck is None or cycle < stuck) and (rng is None or rng.random() < .6)

            ctx.set(port.read_request.ready, lively())
            ctx.set(port.write_request.ready, lively())
            if not ctx.get(port.read_data.valid):
                valid = bool(reads) and reads[0][1] <= cycle and lively()
                ctx.set(port.read_data.valid, valid)
                if valid:
                    ctx.set(port.read_data.payload, memory.get(reads[0][0], 0))
                    ctx.set(port.read_error, reads[0][0] == read_error)
            ctx.set(port.write_data.ready, bool(writes) and lively())
            ctx.set(port.write_done.valid, done > 0 and lively())
            ctx.set(port.write_error, write_error)
            samples = await ctx.tick().sample(
                port.read_request.valid & port.read_request.ready, port.read_request.payload,
                port.read_data.valid & port.read_data.ready,
                port.write_request.valid & port.write_request.ready, port.write_request.payload,
                port.write_data.valid & port.write_data.ready, port.write_data.payload,
                port.write_done.valid & port.write_done.ready, engine.done)
            _, _, asked, request, returned, announced, announcement, written, data, acknowledged, ended = samples
            if ended:
                return Run(Error(ctx.get(engine.error)), ctx.get(engine.error_position), ctx.get(engine.error_segment),
                           cycle, memory, {name: ctx.get(getattr(engine.counters, name)) for name in COUNTERS})
            if returned:
                reads.pop(0)
                ctx.set(port.read_data.valid, 0)
            assert not (asked and request.address % BEAT or announced and announcement.address % BEAT)
            if asked:
                reads += [(request.address + BEAT * beat, cycle + latency) for beat in range(request.beats)]
            if announced:
                writes += [(announcement.address + BEAT * beat, beat == announcement.beats - 1)
                           for beat in range(announcement.beats)]
            if written:
                address, last = writes.pop(0)
                memory[address] = data
                done += last
            done -= acknowledged
        assert until, "the program never ended"
        return Run(None, None, None, until, memory, None)


@pytest.fixture(scope="module")
def bench():
    return Bench()


@pytest.fixture(scope="module")
def case():
    return network(random.Random(5))


@pytest.fixture(scope="module")
def clean(bench, case):
    return bench.run(case[0])


def test_a_layer_in_two_strips(case, clean):
    assert clean.error is Error.NONE
    assert output_of(clean.memory) == case[1]
    counters = clean.counters
    mask_beats, parameter_beats = (sum(start <= address < start + 0x1000 for address in case[0])
                                   for start in (MASKS, PARAMETERS))
    assert counters["program_bytes"] == 7 * descriptor.BYTES
    assert counters["mask_bytes"] == mask_beats * BEAT
    assert counters["parameter_bytes"] == parameter_beats * BEAT
    assert counters["load_bytes"] == INPUT_BYTES
    assert counters["store_bytes"] == 2 * STRIP_OUTPUT
    assert counters["useful_macs"] == 2 * STRIP_ROWS * WIDTH * CHANNELS * OUTS


@pytest.mark.parametrize("seed, latency", [(0, 1), (1, 40), (2, 400)])
def test_under_stalls(bench, case, seed, latency):
    result = bench.run(case[0], rng=random.Random(seed), latency=latency)
    assert result.error is Error.NONE
    assert output_of(result.memory) == case[1]


def test_again_without_a_reset(bench, case, clean):
    bench.run(case[0])
    again = bench.run(case[0], reset=False)
    assert again.error is Error.NONE and output_of(again.memory) == case[1]
    assert again.cycles == clean.cycles and again.counters == clean.counters


@pytest.mark.parametrize("share", (.02, .1, .3, .45, .5, .6, .75, .9, .97))
def test_reset_at_any_time(bench, case, clean, share):
    """What comes after a reset is the same as in a fresh engine, cycle for cycle."""
    bench.run(case[0], until=int(share * clean.cycles), rng=random.Random(int(100 * share)))
    again = bench.run(case[0])
    assert again == clean


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_found(bench, case, seed):
    """A wrong bit in any descriptor, mask or parameter beat."""
    rng = random.Random(seed)
    memory = dict(case[0])
    start = (PROGRAM, MASKS, PARAMETERS)[seed % 3]
    address = rng.choice([address for address in memory if start <= address < start + 0x1000])
    memory[address] ^= 1 << rng.randrange(CONFIG.bus_bits)
    result = bench.run(memory, rng=rng if seed % 2 else None)
    if start == PROGRAM:
        assert (result.error, result.position) == (Error.PROGRAM_CRC, (address - PROGRAM) // descriptor.BYTES)
    else:
        assert result.error is (Error.MASK_CRC if start == MASKS else Error.PARAMETER_CRC)
        assert (result.position, result.segment) == (2, 0)


@pytest.mark.parametrize("place, offset, position", [
    (PROGRAM, 0, 0), (PROGRAM, 5 * descriptor.BYTES, 5), (INPUT, BEAT, 1), (INPUT, INPUT_BYTES - BEAT, 3),
    (MASKS, 0, 2), (PARAMETERS, BEAT, 2)])
def test_bus_errors_of_reads(bench, case, place, offset, position):
    result = bench.run(case[0], read_error=place + offset)
    assert (result.error, result.position, result.segment) == (Error.BUS_READ, position, 0)


def test_bus_errors_of_writes(bench, case):
    result = bench.run(case[0], write_error=True)
    assert (result.error, result.position, result.segment) == (Error.BUS_WRITE, 5, 0)


@pytest.mark.parametrize("share", (0, .1, .4, .8, .96))
def test_a_stuck_bus_ends_with_the_watchdog(bench, case, clean, share):
    stuck = int(share * clean.cycles)
    result = bench.run(case[0], stuck=stuck)
    assert result.error is Error.WATCHDOG and result.segment == 0
    assert stuck < result.cycles <= clean.cycles + CONFIG.watchdog_cycles + 2


def rewritten(memory, position, changes):
    """The image with some words of a descriptor changed, its checksum made right."""
    memory, place = dict(memory), PROGRAM + position * descriptor.BYTES
    octets = bytearray(b"".join(memory[place + at].to_bytes(BEAT, "little") for at in range(0, descriptor.BYTES, BEAT)))
    for name, value in changes.items():
        field = descriptor.FIELDS[name]
        word = int.from_bytes(octets[4 * field.word:4 * field.word + 4], "little")
        word = word & ~(((1 << field.bits) - 1) << field.lsb) | value << field.lsb
        octets[4 * field.word:4 * field.word + 4] = word.to_bytes(4, "little")
    octets[-4:] = zlib.crc32(octets[:-4]).to_bytes(4, "little")
    memory.update({place + BEAT * number: beat for number, beat in enumerate(beats(bytes(octets)))})
    return memory


@pytest.mark.parametrize("position, changes, error", [
    (2, {"mask_beats": 1}, Error.MASK_CRC),
    (2, {"mask_beats": 0}, Error.WATCHDOG),
    (2, {"parameter_beats": 2}, Error.PARAMETER_CRC),
    (2, {"parameter_beats": 40}, None),
    (4, {"mask_words": 40}, Error.WATCHDOG),
    (2, {"mask_words": 3}, Error.MASK_EXHAUSTED),
    (4, {"mask_words": 11}, Error.MASK_EXHAUSTED),
    (2, {"tile_pixels": 1}, Error.WATCHDOG),
    (4, {"mask_reuse": 0}, Error.IMPOSSIBLE),
    (5, {"wait_stores": 1}, Error.IMPOSSIBLE),
    (5, {"wait_layers": 3}, Error.IMPOSSIBLE),
])
def test_programs_that_do_not_fit_together_end(bench, case, position, changes, error):
    """With right checksums: an error, and an end. ``None``: whatever error it is."""
    result = bench.run(rewritten(case[0], position, changes))
    assert result.error is error or error is None and result.error is not Error.NONE, result


@pytest.mark.parametrize("position, changes", [
    (1, {"memory_address": INPUT + 1}), (1, {"activation_address": BEAT // 2}), (2, {"mask_address": MASKS + 2}),
    (2, {"parameter_address": PARAMETERS + BEAT - 1}), (5, {"memory_address": OUTPUT + BEAT // 2}),
])
def test_addresses_inside_a_beat(bench, case, clean, position, changes):
    """An error, an end, and the next program runs."""
    result = bench.run(rewritten(case[0], position, changes))
    assert (result.error, result.position, result.segment) == (Error.IMPOSSIBLE, position, 0)
    assert bench.run(case[0]) == clean


@pytest.mark.parametrize("offset", range(1, BEAT))
def test_a_program_inside_a_beat(bench, case, clean, offset):
    result = bench.run(case[0], program=PROGRAM + offset)
    assert (result.error, result.position, result.segment) == (Error.IMPOSSIBLE, 0, 0)
    assert not any(count for name, count in result.counters.items() if name.endswith("_bytes"))
    assert bench.run(case[0]) == clean
