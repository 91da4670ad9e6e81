"""The Python driver on the simulated accelerator: results and counters of the direct backend, and every refusal."""

import dataclasses
import re

import numpy as np
import pytest

from arch.descriptor import BYTES, VERSION, Error
from arch.registers import MAP_VERSION, OFFSETS
from compiler import compile_network
from driver.device import DeviceError
from driver.engine import DriverError, Engine, ProgramError
from driver.program import ProgramFile
from sim.device import SimulatedDevice
from tests.driver.conftest import ADDRESS, CONFIG
from tests.random_networks import random_image, random_network

MEMORY_BYTES = 1 << 17


class Small:
    """A short program with its input and result."""

    def __init__(self, seed: int):
        network = random_network(seed, CONFIG)
        program = compile_network(network, CONFIG, batch=2)
        self.file = ProgramFile.of(program)
        self.images = np.stack([random_image(network, seed + index) for index in range(2)])
        self.golden = network.run(self.images)[program.layers[-1].name]

    def check(self, engine: Engine):
        """A good run."""
        engine.load(self.file)
        assert np.array_equal(engine.run(self.images), self.golden)


@pytest.fixture(scope="module")
def small() -> Small:
    return Small(3)


@pytest.fixture
def device():
    with SimulatedDevice(CONFIG, memory_bytes=MEMORY_BYTES, address=ADDRESS) as device:
        yield device


def refused(message: str, kind=DriverError):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_results_and_counters_of_the_direct_backend(case, device):
    engine = Engine(device)
    engine.load(case.file)
    for _ in range(2):
        outputs = engine.run(case.images)
        assert np.array_equal(outputs, case.direct.outputs) and np.array_equal(outputs, case.golden)
        assert outputs.dtype == case.direct.outputs.dtype and outputs.shape == case.direct.outputs.shape
        assert engine.counters() == case.direct.counters
    assert case.direct.counters["cycles"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_programs_one_after_another(device, seed):
    engine = Engine(device)
    Small(seed).check(engine)
    Small(seed + 10).check(engine)


@pytest.mark.parametrize("register, flipped, message", [
    ("ID", 1, "there is no engine at the device's address: register ID must be 0x544f4354, not 0x544f4355"),
    ("VERSION", 0x30000, f"the engine is not for this driver: version of its registers must be {MAP_VERSION:#x}, "
                         f"not {MAP_VERSION ^ 3:#x}"),
    ("VERSION", 0x8, f"the engine is not for this driver: version of its programs must be {VERSION:#x}, "
                     f"not {VERSION ^ 8:#x}"),
])
def test_another_engine(device, small, monkeypatch, register, flipped, message):
    read = device.read
    monkeypatch.setattr(device, "read", lambda offset: read(offset) ^ (flipped if offset == OFFSETS[register] else 0))
    with refused(message):
        Engine(device)
    monkeypatch.undo()
    small.check(Engine(device))


def test_programs_that_do_not_fit(device, small):
    engine = Engine(device)
    with refused("no program is loaded: load() one"):
        engine.start(small.images)
    other = dataclasses.replace(small.file, configuration=1)
    with refused(f"the program was compiled for configuration 0x00000001, the engine has {CONFIG.hash:#010x}"):
        engine.load(other)
    large = dataclasses.replace(small.file, memory_bytes=MEMORY_BYTES + 1)
    with refused(f"the program needs {MEMORY_BYTES + 1} bytes of memory, the device has {MEMORY_BYTES}"):
        engine.load(large)
    askew = dataclasses.replace(small.file, program_place=4, descriptors=small.file.descriptors - 1)
    with refused("the program must begin at a multiple of 8 bytes, not at 0x4"):
        engine.load(askew)
    device.address += 64
    with refused(f"the memory must begin at a multiple of 4096, not at {ADDRESS + 64:#x}"):
        engine.load(small.file)
    device.address -= 64
    small.check(engine)


def test_images_that_do_not_fit(device, small):
    engine = Engine(device)
    engine.load(small.file)
    shape = small.images.shape
    with refused(f"images must be int8 of shape {shape}, not int8 {(1, *shape[1:])}", ValueError):
        engine.start(small.images[:1])
    with refused(f"images must be int8 of shape {shape}, not int8 {(*shape[:2], shape[2] - 1, shape[3])}", ValueError):
        engine.start(small.images[:, :, 1:])
    with refused(f"images must be int8 of shape {shape}, not uint8 {shape}", ValueError):
        engine.start(small.images.astype(np.uint8))
    small.check(engine)


def test_nothing_is_read_before_the_end(device, small):
    engine = Engine(device)
    engine.load(small.file)
    with refused("no program was started: start() one"):
        engine.wait()
    for started in False, True:
        if started:
            engine.start(small.images)
        with refused("there are no results yet: wait() for the end of a run"):
            engine.outputs()
        with refused("there are no counters yet: wait() for the end of a run"):
            engine.counters()
    with refused("a program is running: wait() for its end, or reset()"):
        engine.start(small.images)
    with refused("a program is running: wait() for its end, or reset()"):
        engine.load(small.file)
    engine.wait()
    assert np.array_equal(engine.outputs(), small.golden)
    engine.load(small.file)
    with refused("there are no results yet: wait() for the end of a run"):
        engine.outputs()
    small.check(engine)


def test_waiting_has_an_end(device, small, monkeypatch):
    engine = Engine(device)
    engine.load(small.file)
    engine.start(small.images)
    monkeypatch.setattr(device, "PAUSE_CYCLES", 1)
    with refused("the program has not ended after 0.0 s: wait() longer, or reset()"):
        engine.wait(0.0)
    engine.reset()
    with refused("there are no results yet: wait() for the end of a run"):
        engine.outputs()
    small.check(engine)


def test_an_engine_left_running_is_reset(device, small):
    engine = Engine(device)
    engine.load(small.file)
    engine.start(small.images)
    small.check(Engine(device))


def damaged(file: ProgramFile, place: int) -> ProgramFile:
    image = bytearray(file.image)
    image[place] ^= 1
    return dataclasses.replace(file, image=bytes(image))


def test_a_damaged_program_is_an_error_with_a_place(device, small):
    engine = Engine(device)
    # In the descriptors' order; moving a program would mend the checksum of a damaged descriptor.
    engine.load(small.file)
    device.load(BYTES + 8, bytes([device.fetch(BYTES + 8, 1)[0] ^ 1]))
    engine.start(small.images)
    with refused("the engine reported PROGRAM_CRC at descriptor 1", ProgramError) as caught:
        engine.wait()
    assert (caught.value.error, caught.value.position) == (Error.PROGRAM_CRC, 1)
    with refused("no program was started: start() one"):
        engine.wait()
    small.check(engine)

    engine.load(damaged(small.file, small.file.program_place + BYTES * small.file.descriptors))
    engine.start(small.images)
    with refused("the engine reported MASK_CRC at descriptor 2, segment 0", ProgramError):
        engine.wait()
    small.check(engine)


@pytest.mark.parametrize("address, error", [(ADDRESS + 4, Error.IMPOSSIBLE), (ADDRESS + MEMORY_BYTES, Error.BUS_READ),
                                            (0, Error.BUS_READ), (ADDRESS + BYTES, Error.BAD_PROGRAM)])
def test_a_wrong_address_past_the_driver(device, small, address, error):
    """Whoever writes the registers without its checks gets an error from the engine itself, which goes on."""
    engine = Engine(device)
    engine.load(small.file)
    engine.write("PROGRAM_ADDRESS.value", address)
    engine.write("CONTROL.start", 1)
    device.pause()
    assert engine.read("STATUS.error") and engine.read("ERROR.value") == error
    small.check(Engine(device))


@pytest.mark.parametrize("address, size", [(0, 0), (0, 1 << 32), (ADDRESS, 1 << 31), (-4096, 4096)])
def test_a_memory_that_cannot_be(address, size):
    with refused(f"the memory must have bytes below 2^32, not {size} from {address:#x} on", DeviceError):
        SimulatedDevice(CONFIG, memory_bytes=size, address=address)


def test_a_closed_device(device):
    device.close()
    device.close()
    for access in lambda: device.read(OFFSETS["ID"]), lambda: device.write(OFFSETS["CONTROL"], 2), device.pause:
        with refused("the simulated device is closed", DeviceError):
            access()


def test_a_register_that_is_not_there(device):
    with refused("a read of the register at 0xffc was answered SLVERR", DeviceError):
        device.read(0xFFC)
    with refused("a write of the register at 0x0 was answered SLVERR", DeviceError):
        device.write(OFFSETS["ID"], 1)
