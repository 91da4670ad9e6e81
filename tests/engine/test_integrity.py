"""Nothing that goes wrong outside the engine hangs it or passes unseen: damage, bus errors, a stuck bus, resets."""

import dataclasses
import functools
import zlib
from collections import Counter

import numpy as np
import pytest

from arch import descriptor
from arch.config import SEGMENT_BYTES, EngineConfig
from arch.descriptor import BYTES, FIELDS, Code, Error, Opcode
from compiler import compile_network
from sim.backend import EngineError
from sim.check import compare
from sim.memory import Faults, MemoryTiming
from sim.native import NativeBackend
from tests.compiler.interpreter import descriptors
from tests.random_networks import random_image, random_network

CONFIG = EngineConfig.preset("tiny", name="watched", watchdog_cycles=4096)
SEEDS = range(240)


@functools.cache
def drawn(seed: int):
    """A network of the seed, its program and one image."""
    network = random_network(seed, CONFIG)
    return network, compile_network(network, CONFIG), np.stack([random_image(network, seed)])


def error_of(program, images, *, memory=MemoryTiming(), faults=Faults()) -> EngineError:
    """The error that a run ends with."""
    with pytest.raises(EngineError) as caught:
        NativeBackend(CONFIG, memory=memory, faults=faults, strict=False).run(program, images)
    return caught.value


def with_image(program, image: bytes):
    return dataclasses.replace(program, image=bytes(image))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_is_found(seed):
    """One bit of descriptors, masks or parameters, checksums and padding included: all that comes in but images."""
    rng = np.random.default_rng([seed, 5])
    _, program, images = drawn(seed % 12)
    runs = [transfer for transfer in program.transfers if transfer.stream in ("program", "mask", "parameter")]
    transfer = runs[rng.integers(len(runs))]
    offset = int(rng.integers(transfer.bytes))
    image = bytearray(program.image)
    image[transfer.address + offset] ^= 1 << int(rng.integers(8))
    error = error_of(with_image(program, image), images)
    expected = {"program": Error.PROGRAM_CRC, "mask": Error.MASK_CRC, "parameter": Error.PARAMETER_CRC}[transfer.stream]
    if transfer.stream == "program":
        position, segment = offset // BYTES, 0
    else:
        position = next(operation.position for operation in program.operations if operation.layer == transfer.layer)
        segment = offset // SEGMENT_BYTES
    assert (error.error, error.position, error.segment) == (expected, position, segment)


WAITS = ("wait_layers", "wait_loads", "wait_stores")
COPY = ("opcode", *WAITS, "memory_address", "activation_address", "beats")
BEGIN = ("magic", "version", "configuration", "seed_low", "seed_high")
READ = {
    Opcode.BEGIN: ("opcode", *BEGIN), Opcode.LOAD: COPY, Opcode.STORE: COPY, Opcode.END: ("opcode", *WAITS),
    Opcode.LAYER: tuple(name for name in FIELDS if name not in (
        *BEGIN, "memory_address", "activation_address", "beats", "map_height", "column_tiles", "crc")),
}
"""What the engine reads of a descriptor."""

CHECKED = ("magic", "version", "configuration", "mask_beats", "parameter_beats", "mask_keep", "mask_reuse",
           "parameter_keep", "parameter_reuse")
"""Fields in which any flipped bit is an error."""


def bits_of(names) -> set[int]:
    return {32 * FIELDS[name].word + FIELDS[name].lsb + bit for name in names for bit in range(FIELDS[name].bits)}


@functools.cache
def undamaged(seed: int):
    """The run of the program as it is."""
    _, program, images = drawn(seed)
    return NativeBackend(CONFIG).run(program, images)


def run_with_flipped_bit(seed: int, number: int, bit: int):
    """The result of a run with one bit of descriptor ``number`` flipped behind a right checksum, or its error."""
    _, program, images = drawn(seed)
    start = program.program_address + BYTES * number
    image = bytearray(program.image)
    image[start + bit // 8] ^= 1 << bit % 8
    image[start + BYTES - 4:start + BYTES] = zlib.crc32(image[start:start + BYTES - 4]).to_bytes(4, "little")
    try:
        return NativeBackend(CONFIG, strict=False).run(with_image(program, image), images)
    except EngineError as error:
        return error


def same(result, seed: int) -> bool:
    return (not isinstance(result, EngineError) and result.cycles == undamaged(seed).cycles
            and np.array_equal(result.outputs, undamaged(seed).outputs))


def test_what_is_not_read_of_a_descriptor_changes_nothing():
    for seed in range(48):
        rng = np.random.default_rng([seed, 6])
        operations = descriptors(drawn(seed % 12)[1].image, drawn(seed % 12)[1].program_address)
        number = int(rng.integers(len(operations)))
        read = bits_of(READ[operations[number]["opcode"]])
        read |= set(range(32 * FIELDS["beats"].word, 32 * FIELDS["beats"].word + 32))
        bit = int(rng.choice(sorted(set(range(8 * (BYTES - 4))) - read)))
        assert same(run_with_flipped_bit(seed % 12, number, bit), seed % 12), (seed, number, bit)


def test_a_damaged_descriptor_with_a_right_checksum_ends():
    """To the engine it is another program: it has an error, the watchdog's at the latest, or it computes something
    else. A program that runs to its end is one whose damage the engine has no way to see."""
    outcomes = Counter()
    for seed in range(144):
        rng = np.random.default_rng([seed, 9])
        operations = descriptors(drawn(seed % 12)[1].image, drawn(seed % 12)[1].program_address)
        number = int(rng.integers(len(operations)))
        names = READ[operations[number]["opcode"]]
        name = CHECKED[rng.integers(len(CHECKED))] if seed % 4 == 0 else names[rng.integers(len(names))]
        if name not in names:
            number = next(at for at, fields in enumerate(operations) if name in READ[fields["opcode"]])
        bit = int(rng.choice(sorted(bits_of([name]))))
        result = run_with_flipped_bit(seed % 12, number, bit)
        if isinstance(result, EngineError):
            # What waits for the damaged operation may be what finds it.
            assert result.position >= number, (seed, name, str(result))
            outcomes["error"] += 1
        else:
            assert name not in CHECKED, (seed, name)
            outcomes["same" if same(result, seed % 12) else "other"] += 1
    # Two of three are errors; of the rest, some compute the same, as a shorter table or an unused pool would.
    assert outcomes["error"] >= 96 and outcomes["other"] >= 10, outcomes


def test_every_read_beat_failing_in_turn():
    """The error of each is at the descriptor that asked for it."""
    seed = 11
    _, program, images = drawn(seed)
    expected = Counter()
    for position, operation in enumerate(descriptors(program.image, program.program_address)):
        expected[position] += BYTES // CONFIG.bus_bytes
        if operation["opcode"] == Opcode.LAYER:
            expected[position] += operation["mask_beats"] + operation["parameter_beats"]
        elif operation["opcode"] == Opcode.LOAD:
            expected[position] += operation["beats"]
    positions = Counter()
    for beat in range(expected.total()):
        error = error_of(program, images, faults=Faults(read_error_beat=beat))
        assert error.error == Error.BUS_READ
        positions[error.position] += 1
    assert positions == expected


@pytest.mark.parametrize("seed", range(12))
def test_bus_errors(seed):
    rng = np.random.default_rng([seed, 7])
    _, program, images = drawn(seed)
    beats = sum(transfer.bytes for transfer in program.transfers if transfer.stream != "store") // CONFIG.bus_bytes
    error = error_of(program, images, faults=Faults(read_error_beat=int(rng.integers(beats))))
    assert error.error == Error.BUS_READ and error.position < program.descriptors
    stores = [(index, operation["beats"]) for index, operation in
              enumerate(descriptors(program.image, program.program_address)) if operation["opcode"] == Opcode.STORE]
    owners = [index for index, count in stores for _ in range(count)]
    for beat in {0, len(owners) - 1, int(rng.integers(len(owners)))}:
        error = error_of(program, images, faults=Faults(write_error_beat=beat))
        assert (error.error, error.position) == (Error.BUS_WRITE, owners[beat])


@pytest.mark.parametrize("seed", range(12))
def test_a_stuck_bus_is_found(seed):
    """Within the watchdog's cycles once nothing more can be computed, at the operation that could not begin: never
    one that is done, and the later the bus stops the later."""
    _, program, images = drawn(seed)
    cycles, positions = undamaged(seed).cycles, []
    for stuck in (0, 20 + 37 * seed % (cycles - 20), cycles // 2, cycles * 3 // 4, cycles - 10):
        error = error_of(program, images, faults=Faults(stuck_cycle=stuck))
        assert error.error == Error.WATCHDOG
        assert error.record.cycles <= cycles + CONFIG.watchdog_cycles
        done = error.record.operations_done
        assert done == 0 or error.position > program.operations[done - 1].position
        positions.append((stuck, error.position))
    places = [position for _, position in sorted(positions)]
    assert places == sorted(places)
    assert places[0] == 0 and places[-1] == program.descriptors - 1


@pytest.mark.parametrize("seed", range(12))
def test_reset_in_the_middle(seed):
    """A run after a reset at any cycle is the run of a fresh engine, to the cycle."""
    network, program, images = drawn(seed)
    golden = network.run(images)
    fresh = NativeBackend(CONFIG).run(program, images)
    assert not compare(fresh, golden)
    cycle = int(np.random.default_rng([seed, 8]).integers(10, fresh.cycles))
    again = NativeBackend(CONFIG, faults=Faults(reset_cycle=cycle)).run(program, images)
    assert not compare(again, golden)
    assert again.runs[-1].cycles == fresh.runs[0].cycles and again.runs[-1].counters == fresh.runs[0].counters


def positions(program, operation: Opcode) -> list[int]:
    """Where in the program its descriptors of ``operation`` are."""
    return [index for index, values in enumerate(descriptors(program.image, program.program_address))
            if values["opcode"] == operation]


def rewritten(program, position: int, **fields: int):
    """The program with ``fields`` of a descriptor replaced, and its checksum made right."""
    start = program.program_address + BYTES * position
    image = bytearray(program.image)
    words = [int.from_bytes(image[start + 4 * word:start + 4 * word + 4], "little") for word in range(descriptor.WORDS)]
    for name, value in fields.items():
        field = descriptor.FIELDS[name]
        words[field.word] &= ~(((1 << field.bits) - 1) << field.lsb)
        field.insert(name, value, words)
    content = b"".join(word.to_bytes(4, "little") for word in words[:-1])
    image[start:start + BYTES] = content + zlib.crc32(content).to_bytes(4, "little")
    return with_image(program, image)


def changed(operation: Opcode, **fields: int) -> EngineError:
    """The error of a program whose first descriptor of ``operation`` has ``fields`` replaced."""
    _, program, images = drawn(3)
    position = positions(program, operation)[0]
    error = error_of(rewritten(program, position, **fields), images)
    assert error.position == position
    return error


def test_programs_that_are_refused():
    assert changed(Opcode.BEGIN, configuration=1).error == Error.WRONG_CONFIGURATION
    assert changed(Opcode.BEGIN, version=1).error == Error.BAD_PROGRAM
    assert changed(Opcode.LAYER, wait_loads=9).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, wait_stores=9).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, mask_reuse=1).error == Error.IMPOSSIBLE
    assert changed(Opcode.LOAD, memory_address=1).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, opcode=77).error == Error.BAD_OPCODE


def test_places_outside_the_memory():
    outside = 1 << 30
    assert changed(Opcode.LOAD, memory_address=outside).error == Error.BUS_READ
    assert changed(Opcode.LAYER, mask_address=outside).error == Error.BUS_READ
    assert changed(Opcode.LAYER, parameter_address=outside).error == Error.BUS_READ
    assert changed(Opcode.STORE, memory_address=outside).error == Error.BUS_WRITE


def test_a_mask_stream_of_the_wrong_length():
    """The error names the layer, though the next one is decoded right behind it."""
    assert changed(Opcode.LAYER, mask_words=0).error == Error.MASK_EXHAUSTED
    found = Counter()
    for seed in range(6):
        _, program, images = drawn(seed)
        values = descriptors(program.image, program.program_address)
        for position in positions(program, Opcode.LAYER):
            words, bits = values[position]["mask_words"], values[position]["symbol_bits"]
            changes = [({"mask_words": words - 1}, Error.MASK_EXHAUSTED)]
            # Shorter symbols leave words over, more than lanes ask for ahead.
            if values[position]["code"] == Code.RAW and words * (bits - 1) // bits > 2 * CONFIG.decoder_lanes:
                changes.append(({"symbol_bits": 1, "coats": 1}, Error.MASK_LEFT_OVER))
            for fields, expected in changes:
                error = error_of(rewritten(program, position, **fields), images)
                assert (error.error, error.position) == (expected, position)
                found[expected] += 1
    assert min(found[Error.MASK_EXHAUSTED], found[Error.MASK_LEFT_OVER]) >= 5
