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
from sim.memory import Faults, MemoryTiming
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
    return plain(result.runs)


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
    run, = native(MemoryTiming(latency=latency)).run(standin.two_copies(BEATS), random_images()).runs
    assert run.layers[0].cycles == COPY_CYCLES + 3 * latency
    # Nothing follows the last layer but the command that ends the program.
    assert run.layers[1].cycles == COPY_CYCLES + 3 * latency


@pytest.mark.parametrize("rate", [(1, 2), (2, 3), (3, 7)])
def test_rate(rate):
    run, = native(MemoryTiming(rate=rate)).run(standin.two_copies(BEATS), random_images()).runs
    least = BEATS * rate[1] // rate[0]
    assert least <= run.layers[0].cycles <= least + COPY_CYCLES - BEATS + 4 * rate[1]


def test_stalls_come_from_the_seed():
    def cycles(seed):
        result = native(MemoryTiming(stall=0.3, seed=seed)).run(standin.two_copies(BEATS), random_images(2))
        return [run.cycles for run in result.runs]
    first, second = cycles(1)
    assert first == second > 2 * COPY_CYCLES
    assert cycles(1) == [first, second]
    assert cycles(2) != [first, second]


def test_counters_and_bytes():
    """Counters per layer are differences between layer starts; the memory counts bytes by itself."""
    run, = native().run(standin.two_copies(BEATS), random_images()).runs
    assert set(run.counters) == set(COUNTERS)
    assert [layer.counters["load_bytes"] for layer in run.layers] == [8 * BEATS, 8 * BEATS]
    assert run.counters["store_bytes"] == run.write_bytes == 16 * BEATS
    assert run.read_bytes == run.counters["load_bytes"] + 3 * 16
    assert run.layers[0].done_cycle < run.layers[1].done_cycle < run.cycles
    for layer in run.layers:
        assert layer.bytes == {"program_bytes": 0, "mask_bytes": 0, "parameter_bytes": 0, "load_bytes": 8 * BEATS,
                               "store_bytes": 8 * BEATS}
    assert run.bytes == {"program_bytes": 3 * 16, "mask_bytes": 0, "parameter_bytes": 0, "load_bytes": 16 * BEATS,
                         "store_bytes": 16 * BEATS}


@pytest.mark.parametrize("batch", [1, 2])
def test_strips_of_a_batch_around_the_end_of_the_activation_memory(batch):
    """A layer in three rows of 20 beats, the images' rows taking turns, one row half behind the memory's end."""
    rows, beats = 3, 20
    size = 8 * rows * beats
    copies = [standin.Copy("strips", standin.INPUT + image * size + 8 * row * beats,
                           standin.OUTPUT + image * size + 8 * row * beats, beats,
                           (CONFIG.activation_bytes - 2 * beats + 0x100 * number) % CONFIG.activation_bytes,
                           image=image, row=row)
              for number, (row, image) in enumerate((row, image) for row in range(rows) for image in range(batch))]
    program = standin.CopyProgram(tuple(copies), batch * size, batch * size, batch)
    images = random_images(2 * batch, rows * beats)
    result = native().run(program, images)
    assert np.array_equal(result.outputs, images)
    assert len(result.runs) == 2
    golden = images.reshape(2 * batch, rows, beats, 8)[..., :4]
    require_equal(result, {"strips": golden})
    for run in result.runs:
        layer, = run.layers
        assert layer.tensor.shape == (batch, rows, beats, 4)
        assert layer.counters["store_bytes"] == layer.bytes["store_bytes"] == batch * size
    wrong = golden.copy()
    wrong[-1, 2, 7, 1] ^= 1
    with pytest.raises(LayerMismatch, match=rf"image {2 * batch - 1}, layer strips, position \(y=2, x=7, c=1\)"):
        require_equal(result, {"strips": wrong})


def test_batches():
    """Two images a run, each layer's counters from both its operations."""
    images = random_images(4)
    result = native().run(standin.two_copies(BEATS, batch=2), images)
    assert np.array_equal(result.outputs, images)
    require_equal(result, expected_layers(images))
    for run in result.runs:
        assert [layer.counters["load_bytes"] for layer in run.layers] == [16 * BEATS, 16 * BEATS]
        assert [layer.bytes["load_bytes"] for layer in run.layers] == [16 * BEATS, 16 * BEATS]
        assert run.cycles > sum(layer.cycles for layer in run.layers) == 4 * COPY_CYCLES


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
    run, = native(tensors=False).run(program, images).runs
    assert [(layer.tensor, layer.missing) for layer in run.layers] == [(None, 0), (None, 0)]
    untraced = NativeBackend(dataclasses.replace(CONFIG, trace=False), verilog=VERILOG).run(program, images)
    assert untraced.runs[0].layers == ()
    assert np.array_equal(untraced.outputs, images)


def test_progress():
    seen = []
    result = native(MemoryTiming(latency=40_000)).run(standin.two_copies(BEATS), random_images(), progress=seen.append)
    assert seen and seen[-1].cycles <= result.cycles
    assert [step.cycles for step in seen] == sorted(step.cycles for step in seen)


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_hang_is_a_timeout(backend):
    engine = backend(CONFIG, verilog=VERILOG, limit=5000)
    message = "not done after 5000 cycles .*1 of 2 operations done, next layer second"
    with pytest.raises(SimulationTimeout, match=message) as caught:
        engine.run(standin.two_copies(last_flags=standin.HANG), random_images())
    assert caught.value.record.cycles == 5000
    assert caught.value.record.layers[0].name == "first"


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_engine_error(backend):
    with pytest.raises(EngineError, match=f"MASK_CRC at descriptor 1, segment {BEATS} ") as caught:
        backend(CONFIG, verilog=VERILOG).run(standin.two_copies(last_flags=standin.ERROR), random_images(2))
    assert (caught.value.error, caught.value.position, caught.value.segment) == (Error.MASK_CRC, 1, BEATS)


def test_protocol_errors():
    images = random_images()
    with pytest.raises(ProtocolError, match="withdrew a valid"):
        native(MemoryTiming(stall=0.5)).run(standin.two_copies(flags=standin.WITHDRAW), images)
    with pytest.raises(ProtocolError, match="burst of no beats, of too many"):
        native().run(standin.two_copies(flags=standin.WIDE_BURST), images)
    outside = standin.Copy("outside", 0x10000, standin.OUTPUT, BEATS, 0)
    with pytest.raises(ProtocolError, match="outside the memory, or not aligned to a beat, at address 0x10000 "):
        native().run(dataclasses.replace(standin.two_copies(), copies=(outside,)), images)
    across = standin.Copy("across", standin.INPUT - 16, standin.OUTPUT, BEATS, 0)
    with pytest.raises(ProtocolError, match="across a 4 KiB page, at address 0xff0 "):
        native().run(dataclasses.replace(standin.two_copies(), copies=(across,)), images)


class OtherTransfers(standin.CopyProgram):
    """A program that does not say what it does: ``change`` edits its list of transfers."""

    @property
    def transfers(self):
        transfers = list(super().transfers)
        self.change(transfers)
        return tuple(transfers)


@pytest.mark.parametrize("name, address", [("shorter", 0x3000 + 128), ("moved", 0x2000), ("swapped", 0x1000)])
@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_bursts_that_the_program_does_not_make(backend, name, address):
    """A stream's transfers in their order, each of them whole: anything else is wrong."""
    def change(transfers):
        loads = [index for index, transfer in enumerate(transfers) if transfer.stream == "load"]
        stores = [index for index, transfer in enumerate(transfers) if transfer.stream == "store"]
        if name == "shorter":
            transfers[stores[0]] = dataclasses.replace(transfers[stores[0]], bytes=8 * 16)
        elif name == "moved":
            transfers[stores[1]] = dataclasses.replace(transfers[stores[1]], address=standin.OUTPUT + 8)
        else:
            first, second = (transfers[index] for index in loads)
            transfers[loads[0]], transfers[loads[1]] = second, first

    plain, images = standin.two_copies(), random_images()
    program = OtherTransfers(plain.copies, plain.input_bytes, plain.output_bytes)
    object.__setattr__(program, "change", change)
    with pytest.raises(ProtocolError, match=f"a burst that its program does not make then, at address {address:#x} "):
        backend(CONFIG, verilog=VERILOG).run(program, images)
    run, = backend(CONFIG, verilog=VERILOG, strict=False).run(program, images).runs
    assert np.array_equal(run.outputs, images)
    assert run.bytes == {} == run.layers[0].bytes


def test_bursts_outside_are_answered_with_an_error_if_not_strict():
    plain, images = standin.two_copies(), random_images()
    for copy, error in ((standin.Copy("outside", 0x10000, standin.OUTPUT, BEATS, 0), Error.BUS_READ),
                        (standin.Copy("outside", standin.INPUT, 0xFFFFF000, BEATS, 0), Error.BUS_WRITE)):
        with pytest.raises(EngineError) as caught:
            native(strict=False).run(dataclasses.replace(plain, copies=(copy,)), images)
        assert caught.value.error == error


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
@pytest.mark.parametrize("faults, error, position", [
    # Reads: a command of two beats, 40 beats, a command, 40 beats.
    (Faults(read_error_beat=2), Error.BUS_READ, 0),
    (Faults(read_error_beat=2 + BEATS - 1), Error.BUS_READ, 0),
    (Faults(read_error_beat=2 + BEATS + 2), Error.BUS_READ, 1),
    (Faults(write_error_beat=0), Error.BUS_WRITE, 0),
    (Faults(write_error_beat=BEATS + 20), Error.BUS_WRITE, 1),
])
def test_bus_errors(backend, faults, error, position):
    with pytest.raises(EngineError) as caught:
        backend(CONFIG, verilog=VERILOG, faults=faults).run(standin.two_copies(), random_images())
    assert (caught.value.error, caught.value.position) == (error, position)


def test_bad_beats_lose_their_data():
    """Seen by an engine that does not look at the errors."""
    deaf = VERILOG.replace("&& memory__read_error", "&& 0").replace("&& memory__write_error", "&& 0")
    images = random_images()

    def outputs(faults):
        return NativeBackend(CONFIG, verilog=deaf, faults=faults).run(standin.two_copies(), images).outputs

    expected = images.copy()
    expected[:, 8 * 5:8 * 6] ^= -1
    assert np.array_equal(outputs(Faults(read_error_beat=2 + 5)), expected)
    expected = images.copy()
    expected[:, 8 * 16:8 * 32] = 0
    assert np.array_equal(outputs(Faults(write_error_beat=BEATS + 20)), expected)


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
def test_stuck_bus(backend):
    """Nothing moves from the cycle on in which the bus stops."""
    free, = backend(CONFIG, verilog=VERILOG).run(standin.two_copies(), random_images()).runs
    for cycle in (10, 60):
        with pytest.raises(SimulationTimeout) as caught:
            backend(CONFIG, verilog=VERILOG, limit=5000, faults=Faults(stuck_cycle=cycle)).run(
                standin.two_copies(), random_images())
        record = caught.value.record
        # What is on offer when the bus stops may still be taken.
        assert record.read_bytes <= 8 * cycle and record.read_bytes < free.read_bytes
        assert record.counters["load_bytes"] <= record.read_bytes


@pytest.mark.parametrize("backend", [NativeBackend, CocotbBackend])
@pytest.mark.parametrize("timing", TIMINGS)
def test_reset_and_restart(backend, timing):
    """A run cut off by a reset and begun again equals a run of a fresh engine; so does the one behind it."""
    images = random_images(2)
    fresh = backend(CONFIG, memory=TIMINGS[timing], verilog=VERILOG).run(standin.two_copies(), images)
    for cycle in (1, 30, 75, 10_000):
        again = backend(CONFIG, memory=TIMINGS[timing], verilog=VERILOG, faults=Faults(reset_cycle=cycle)).run(
            standin.two_copies(), images)
        assert fields(again) == fields(fresh)


def test_faults_end_with_the_reset():
    """A stuck bus and an error before the reset; the run behind it is clean."""
    images = random_images()
    fresh = native().run(standin.two_copies(), images)
    for faults in (Faults(stuck_cycle=20, reset_cycle=500), Faults(read_error_beat=7, reset_cycle=500)):
        assert fields(native(faults=faults).run(standin.two_copies(), images)) == fields(fresh)


def test_lost_layer():
    with pytest.raises(SimulationError, match="wrong number of operations .*1 of 2 operations done"):
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
    for index, run in enumerate(result.runs):
        assert run.layers[1].missing == 4
        mismatch, = compare_layer(index, run.layers[1], expected_layers(images)["second"][index:index + 1])
        assert mismatch.position == (0, BEATS - 1, 0)
        assert "nothing was written; 4 values differ" in str(mismatch)


def test_check_sees_bytes_written_elsewhere():
    images = random_images()
    # Layers one beat shorter than the copies: the displaced last write is the only thing wrong.
    program = standin.two_copies(BEATS, flags=standin.STRAY_TRACE)
    first, second = program.copies
    program = dataclasses.replace(program, copies=(dataclasses.replace(first, traced=BEATS - 1), second))
    result = native().run(program, images)
    mismatch, = compare_layer(0, result.runs[0].layers[0], expected_layers(images)["first"][..., :-1, :])
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
    for images, batch in ((random_images(3), 2), (np.zeros((0, 8 * BEATS), np.int8), 1)):
        with pytest.raises(ValueError, match=f"images must be one or more batches of {batch}, not {len(images)}"):
            native().run(standin.two_copies(batch=batch), images)
    with pytest.raises(ValueError, match=f"run 0 must have {8 * BEATS} bytes of images, not 8"):
        native().run(standin.two_copies(), [np.zeros(8, np.int8)])
    copy = dataclasses.replace(standin.two_copies().copies[0], traced=CONFIG.activation_bytes)
    with pytest.raises(ValueError, match="layer first: its output must fit the activation memory"):
        native().run(dataclasses.replace(standin.two_copies(), copies=(copy,)), random_images())
    for wrong in (dict(read_error_beat=-1), dict(reset_cycle=0), dict(stuck_cycle=1 << 48)):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be in"):
            Faults(**wrong)
