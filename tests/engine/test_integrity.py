"""Nothing that goes wrong outside the engine hangs it or passes unseen: damaged images, bus errors, a stuck bus, resets."""

import dataclasses
import zlib

import numpy as np
import pytest

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import BYTES, Error, Opcode
from compiler import compile_network
from sim.backend import EngineError
from sim.check import compare
from sim.memory import Faults, MemoryTiming
from sim.native import NativeBackend
from tests.compiler.interpreter import descriptors
from tests.random_networks import random_image, random_network

CONFIG = EngineConfig.preset("tiny", name="watched", watchdog_cycles=4096)
SEEDS = range(240)


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
    """One bit of descriptors, masks or parameters: the checksum of its descriptor or segment."""
    rng = np.random.default_rng([seed, 5])
    _, program, images = drawn(seed % 12)
    runs = [transfer for transfer in program.transfers if transfer.stream in ("program", "mask", "parameter")]
    transfer = runs[rng.integers(len(runs))]
    byte = transfer.address + int(rng.integers(transfer.bytes))
    image = bytearray(program.image)
    image[byte] ^= 1 << int(rng.integers(8))
    expected = {"program": Error.PROGRAM_CRC, "mask": Error.MASK_CRC, "parameter": Error.PARAMETER_CRC}[transfer.stream]
    position = ((byte - transfer.address) // BYTES if transfer.stream == "program" else
                next(operation.position for operation in program.operations if operation.layer == transfer.layer))
    # What pads a checksum's beat is not covered by it.
    beat = CONFIG.bus_bytes
    offset = byte - transfer.address
    if transfer.stream != "program" and offset % beat >= 4 and (
            offset // beat == transfer.bytes // beat - 1 or offset % 4096 // beat == 4096 // beat - 1):
        image[byte - 4] ^= 1
    error = error_of(with_image(program, image), images)
    assert (error.error, error.position) == (expected, position)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_descriptor_with_a_right_checksum_ends(seed):
    """Whatever a descriptor says, the run ends: well, with an error, or with the watchdog's."""
    rng = np.random.default_rng([seed, 6])
    _, program, images = drawn(seed % 12)
    image = bytearray(program.image)
    number = int(rng.integers(program.descriptors))
    start = program.program_address + BYTES * number
    for _ in range(int(rng.integers(1, 4))):
        image[start + int(rng.integers(BYTES - 4))] ^= 1 << int(rng.integers(8))
    image[start + BYTES - 4:start + BYTES] = zlib.crc32(image[start:start + BYTES - 4]).to_bytes(4, "little")
    try:
        NativeBackend(CONFIG, strict=False).run(with_image(program, image), images)
    except EngineError as error:
        assert error.error != Error.NONE
    except Exception as error:
        # A read or write outside the memory, or too many layers, is the harness's to tell.
        assert type(error).__name__ in ("ProtocolError", "SimulationError"), error


@pytest.mark.parametrize("seed", range(12))
def test_bus_errors(seed):
    rng = np.random.default_rng([seed, 7])
    _, program, images = drawn(seed)
    beats = sum(transfer.bytes for transfer in program.transfers if transfer.stream != "store") // CONFIG.bus_bytes
    assert error_of(program, images, faults=Faults(read_error_beat=int(rng.integers(beats)))).error in (
        Error.BUS_READ, Error.PROGRAM_CRC, Error.MASK_CRC, Error.PARAMETER_CRC)
    error = error_of(program, images, faults=Faults(write_error_beat=0))
    assert error.error == Error.BUS_WRITE
    store = next(index for index, operation in enumerate(descriptors(program.image, program.program_address))
                 if operation["opcode"] == Opcode.STORE)
    assert error.position == store


@pytest.mark.parametrize("seed", range(12))
def test_a_stuck_bus_is_found(seed):
    _, program, images = drawn(seed)
    error = error_of(program, images, faults=Faults(stuck_cycle=20 + 37 * seed))
    assert error.error == Error.WATCHDOG


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


def changed(operation: Opcode, **fields: int) -> EngineError:
    """The error of a program whose first descriptor of ``operation`` has ``fields`` replaced, with a right checksum."""
    _, program, images = drawn(3)
    position = next(index for index, values in enumerate(descriptors(program.image, program.program_address))
                    if values["opcode"] == operation)
    start = program.program_address + BYTES * position
    image = bytearray(program.image)
    words = [int.from_bytes(image[start + 4 * word:start + 4 * word + 4], "little") for word in range(descriptor.WORDS)]
    for name, value in fields.items():
        field = descriptor.FIELDS[name]
        words[field.word] &= ~(((1 << field.bits) - 1) << field.lsb)
        field.insert(name, value, words)
    content = b"".join(word.to_bytes(4, "little") for word in words[:-1])
    image[start:start + BYTES] = content + zlib.crc32(content).to_bytes(4, "little")
    error = error_of(with_image(program, image), images)
    assert error.position == position
    return error


def test_programs_that_are_refused():
    assert changed(Opcode.BEGIN, configuration=1).error == Error.WRONG_CONFIGURATION
    assert changed(Opcode.BEGIN, version=1).error == Error.BAD_PROGRAM
    assert changed(Opcode.LAYER, wait_loads=9).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, wait_stores=9).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, mask_reuse=1).error == Error.IMPOSSIBLE
    assert changed(Opcode.LAYER, opcode=77).error == Error.BAD_OPCODE


def test_a_mask_stream_of_the_wrong_length():
    assert changed(Opcode.LAYER, mask_words=0).error == Error.MASK_EXHAUSTED
