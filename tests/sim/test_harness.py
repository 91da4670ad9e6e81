"""The harness and its memory model, with a stand-in for the engine (standin.py) that only copies memory."""

import dataclasses
import re

import numpy as np
import pytest

from arch.config import EngineConfig
from arch.counters import COUNTERS
from arch.descriptor import Error
from sim.backend import EngineError, ProtocolError, SimulationError, SimulationTimeout
from sim.check import LayerMismatch, compare_layer, require_equal
from sim.cocotb_backend import CocotbBackend
from sim.job import MemoryTiming
from sim.native import NativeBackend

from tests.sim import standin

CONFIG = EngineConfig.preset("tiny")
VERILOG = standin.standin_verilog(CONFIG)
BEATS = 40
COPY_CYCLES = BEATS + 5
"""From one layer_start to the next with the ideal memory: the beats, read request to first beat, last beat to
write_done and layer_done, and three to fetch the next command."""

TIMINGS = {
    "ideal": MemoryTiming(),
    "slow": MemoryTiming(latency=23, rate=(3, 7)),
    "stalls": MemoryTiming(latency=2, stall=0.4, seed=77),
}


def native(timing=MemoryTiming(), **options):
    return NativeBackend(CONFIG, memory=timing, verilog=VERILOG, **options)


def random_images(count=1, beats=BEATS):
    return np.random.default_rng(5).integers(-128, 128, (count, 8 * beats), dtype=np.int8)


def expected_layers(images):
    """What the stand-in traces: the low half of every beat."""
    tensor = images.reshape(len(images), 1, -1, 8)[..., :4]
    return {"first": tensor, "second": tensor}


def fields(result):
    """Everything in a result but the wall time, in comparable form."""
    def plain(value):
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return value.tolist() if isinstance(value, np.ndarray) else value
    return plain(result.images)


@pytest.mark.parametrize("name", TIMINGS)
def test_backends_agree(name):
    images = random_images(3)
    program = standin.two_copies(BEATS)
    results = [backend(CONFIG, memory=TIMINGS[name], verilog=VERILOG).run(program, images)
               for backend in (NativeBackend, CocotbBackend)]
    for result in results:
        assert np.array_equal(result.outputs, images)
        require_equal(result, expected_layers(images))
    assert fields(results[0]) == fields(results[1])


@pytest.mark.parametrize("latency", [0, 1, 20])
def test_ideal_timing_and_latency(latency):
    """One beat per cycle each way; latency adds before the data, before write_done and before the next command."""
    image, = native(MemoryTiming(latency=latency)).run(standin.two_copies(BEATS), random_images()).images
    assert image.layers[0].cycles == COPY_CYCLES + 3 * latency
    # Nothing follows the last layer but the command that ends the program.
    assert image.layers[1].cycles == COPY_CYCLES + 3 * latency


@pytest.mark.parametrize("rate", [(1, 2), (2, 3), (3, 7)])
def test_rate(rate):
    image, = native(MemoryTiming(rate=rate)).run(standin.two_copies(BEATS), random_images()).images
    least = BEATS * rate[1] // rate[0]
    assert least <= image.layers[0].cycles <= least + COPY_CYCLES - BEATS + 4 * rate[1]


def test_stalls_come_from_the_seed():
    def cycles(seed):
        run = native(MemoryTiming(stall=0.3, seed=seed)).run(standin.two_copies(BEATS), random_images(2))
        return [image.cycles for image in run.images]
    first, second = cycles(1)
    assert first == second > 2 * COPY_CYCLES
    assert cycles(1) == [first, second]
    assert cycles(2) != [first, second]


def test_counters_and_bytes():
    """Counters per layer are differences between layer starts; the memory counts bytes by itself."""
    image, = native().run(standin.two_copies(BEATS), random_images()).images
    assert set(image.counters) == set(COUNTERS)
    assert [layer.counters["load_bytes"] for layer in image.layers] == [8 * BEATS, 8 * BEATS]
    assert image.counters["store_bytes"] == image.write_bytes == 16 * BEATS
    assert image.read_bytes == image.counters["load_bytes"] + 3 * 16
    assert image.layers[0].done_cycle < image.layers[1].done_cycle < image.cycles


def test_written_data_are_seen_from_write_done_on():
    """A copy that does not wait copies what was there before, if the memory is slow enough."""
    copy = standin.Copy("chained", standin.INPUT, standin.OUTPUT - standin.CHAINED, 8, 0, standin.CHAIN)
    program = standin.CopyProgram((copy,), 64, 64)
    images = random_images(beats=8)
    assert np.array_equal(native().run(program, images).outputs, images)
    assert not native(MemoryTiming(latency=2)).run(program, images).outputs.any()


def test_reads_see_what_was_there_when_they_were_asked():
    """Moved up by one beat, in two bursts asked for before anything is written."""
    copy = standin.Copy("moved", standin.INPUT, standin.INPUT + 8, 32, 0)
    program = dataclasses.replace(standin.CopyProgram((copy,), 256, 256), output_address=standin.INPUT + 8)
    images = random_images(beats=32)
    assert np.array_equal(native().run(program, images).outputs, images)


def test_run_without_tensors_or_trace():
    program, images = standin.two_copies(BEATS), random_images()
    image, = native(tensors=False).run(program, images).images
    assert [(layer.tensor, layer.missing) for layer in image.layers] == [(None, 0), (None, 0)]
    untraced = NativeBackend(dataclasses.replace(CONFIG, trace=False), verilog=VERILOG).run(program, images)
    assert untraced.images[0].layers == ()
    assert np.array_equal(untraced.outputs, images)


def test_progress():
    seen = []
    result = native(MemoryTiming(latency=40_000)).run(standin.two_copies(BEATS), random_images(), progress=seen.append)
    assert seen and seen[-1].cycles <= result.cycles
    assert [step.cycles for step in seen] == sorted(step.cycles for step in seen)


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_hang_is_a_timeout(backend):
    engine = backend(CONFIG, verilog=VERILOG, limit=5000)
    message = "not done after 5000 cycles .*1 of 2 layers done, next layer second"
    with pytest.raises(SimulationTimeout, match=message) as caught:
        engine.run(standin.two_copies(last_flags=standin.HANG), random_images())
    assert caught.value.record.cycles == 5000
    assert caught.value.record.layers[0].name == "first"


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_engine_error(backend):
    with pytest.raises(EngineError, match="MASK_LEFT_OVER at descriptor 1") as caught:
        backend(CONFIG, verilog=VERILOG).run(standin.two_copies(last_flags=standin.ERROR), random_images(2))
    assert (caught.value.error, caught.value.position) == (Error.MASK_LEFT_OVER, 1)


def test_protocol_errors():
    images = random_images()
    with pytest.raises(ProtocolError, match="withdrew a valid"):
        native(MemoryTiming(stall=0.5)).run(standin.two_copies(flags=standin.WITHDRAW), images)
    with pytest.raises(ProtocolError, match="burst of no beats, of too many"):
        native().run(standin.two_copies(flags=standin.WIDE_BURST), images)
    outside = standin.Copy("outside", 0x10000, standin.OUTPUT, BEATS, 0)
    with pytest.raises(ProtocolError, match="outside the memory"):
        native().run(dataclasses.replace(standin.two_copies(), layers=(outside,)), images)
    across = standin.Copy("across", standin.INPUT - 16, standin.OUTPUT, BEATS, 0)
    with pytest.raises(ProtocolError, match="across a 4 KiB page"):
        native().run(dataclasses.replace(standin.two_copies(), layers=(across,)), images)


def test_lost_layer():
    with pytest.raises(SimulationError, match="wrong number of layers .*1 of 2 layers done"):
        native().run(standin.two_copies(flags=standin.SKIP_LAYER), random_images())


def test_check_names_the_first_wrong_value():
    images = random_images(2)
    result = native().run(standin.two_copies(), images)
    golden = expected_layers(images)
    require_equal(result, golden)
    wrong = {name: tensor.copy() for name, tensor in golden.items()}
    wrong["second"][1, 0, 7, 2] ^= 1
    wrong["second"][1, 0, 9, 0] ^= 1
    got = golden["second"][1, 0, 7, 2]
    with pytest.raises(LayerMismatch) as caught:
        require_equal(result, wrong)
    assert str(caught.value) == (f"image 1, layer second, position (y=0, x=7, c=2): expected {got ^ 1}, got {got}; "
                                 "2 values differ")
    with pytest.raises(ValueError, match="layer second: no golden tensor"):
        require_equal(result, {"first": golden["first"]})


def test_check_sees_bytes_not_written():
    """Also if the activation memory happens to hold the right value: the second image is the first one again."""
    images = np.repeat(random_images(), 2, axis=0)
    result = native().run(standin.two_copies(last_flags=standin.SKIP_LAST_TRACE), images)
    for index, image in enumerate(result.images):
        assert image.layers[1].missing == 4
        mismatch = compare_layer(index, image.layers[1], expected_layers(images)["second"][index])
        assert mismatch.position == (0, BEATS - 1, 0)
        assert "nothing was written; 4 values differ" in str(mismatch)


def test_check_sees_bytes_written_elsewhere():
    images = random_images()
    # Layers one beat shorter than the copies: the displaced last write is the only thing wrong.
    program = standin.two_copies(BEATS, flags=standin.STRAY_TRACE)
    layers = tuple(dataclasses.replace(layer, traced=BEATS - 1) for layer in program.layers[:1])
    program = dataclasses.replace(program, layers=(*layers, program.layers[1]))
    result = native().run(program, images)
    mismatch = compare_layer(0, result.images[0].layers[0], expected_layers(images)["first"][0, :, :-1])
    assert str(mismatch) == (f"image 0, layer first: 4 bytes written outside its tensor, the first at address "
                             f"{0x40 + 4 * (BEATS - 1) + 64}")


def test_waves(tmp_path):
    waves = tmp_path / "run.vcd"
    native(waves=waves).run(standin.two_copies(), random_images())
    text = waves.read_text()
    assert "$enddefinitions" in text and "layer_done" in text


@pytest.mark.parametrize("wrong, message", [
    (dict(latency=-1), "latency must be in 0..2^20-1, not -1"),
    (dict(rate=(2, 1)), "rate must be (beats, cycles) with 1 <= beats <= cycles < 2^15, not (2, 1)"),
    (dict(stall=1.0), "stall must be in 0..0.95, not 1.0"),
    (dict(seed=0), "seed must be in 1..2^64-1, not 0"),
])
def test_memory_timing_is_checked(wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MemoryTiming(**wrong)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="waves must be a .vcd file, not 'run.fst'"):
        native(waves="run.fst")
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        native(limit=0)
    with pytest.raises(ValueError, match="images must hold at least one image"):
        native().run(standin.two_copies(), [])
    with pytest.raises(ValueError, match=f"image 0 must be packed into {8 * BEATS} bytes, not 8"):
        native().run(standin.two_copies(), [np.zeros(8, np.int8)])
