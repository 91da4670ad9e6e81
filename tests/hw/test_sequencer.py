"""The pass sequencer against the convolution's own loops, with everything it waits for coming at random."""

import random

import pytest
from amaranth.sim import Simulator

from arch import latency
from arch.config import EngineConfig
from hw.commands import PassCommand
from hw.sequencer import PassSequencer

LIMIT = 60_000
STALLS = ("stall_weights", "stall_activations", "stall_write_back", "stall_sums", "stall_bank", "stall_short")


def fields(layer: dict) -> dict:
    """The part of a layer's description that the command carries."""
    return {name: layer[name] for name in PassCommand.members}


def layer_fields(config, rng, *, height, width, channels, kernel, stride=1, padding=0, out_channels=4, tile_pixels=None,
                 wait_layers=0, wait_loads=0, wait_stores=0):
    """A layer's command, from its convolution."""
    out_height, out_width = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
    pixels, run = out_height * out_width, kernel * channels
    tile_pixels = tile_pixels or config.partial_sums
    return dict(
        wait_layers=wait_layers, wait_loads=wait_loads, wait_stores=wait_stores, pad_value=rng.choice((-128, 0)),
        input_address=rng.randrange(config.activation_bytes - height * width * channels), input_height=height,
        row_bytes=width * channels, step_bytes=stride * channels, pad_bytes=padding * channels, run_bytes=run,
        kernel_rows=kernel, stride=stride, pad_rows=padding, row_step_bytes=stride * width * channels,
        run_chunks=-(-run // config.lanes), map_width=out_width, pixels=pixels, pixel_tiles=-(-pixels // tile_pixels),
        tile_pixels=tile_pixels, out_channels=out_channels, column_tiles=-(-out_channels // config.columns))


def random_layer(config, rng):
    kernel = rng.choice((1, 1, 2, 3, 5))
    height, width = rng.randint(kernel, 9), rng.randint(kernel, 9)
    return layer_fields(
        config, rng, height=height, width=width, channels=rng.choice((1, 3, 8, rng.randint(1, 20))), kernel=kernel,
        stride=rng.randint(1, 3), padding=rng.randrange(kernel), out_channels=rng.randint(1, 10),
        tile_pixels=rng.choice((1, 2, 3, 5, 16, 32)))


def expected_beats(config, layers, memory):
    """The beats of a program: the convolution's loops, one byte at a time."""
    beats, slot, half = [], 0, 0
    for number, layer in enumerate(layers):
        for tile in range(layer["column_tiles"]):
            for start in range(0, layer["pixels"], layer["tile_pixels"]):
                pixels = range(start, min(start + layer["tile_pixels"], layer["pixels"]))
                for ky in range(layer["kernel_rows"]):
                    for j in range(layer["run_chunks"]):
                        in_run = min(config.lanes, layer["run_bytes"] - j * config.lanes)
                        for index, pixel in enumerate(pixels):
                            oy, ox = divmod(pixel, layer["map_width"])
                            row = oy * layer["stride"] + ky - layer["pad_rows"]
                            run = []
                            for lane in range(config.lanes):
                                byte = ox * layer["step_bytes"] - layer["pad_bytes"] + j * config.lanes + lane
                                inside = 0 <= row < layer["input_height"] and 0 <= byte < layer["row_bytes"]
                                place = layer["input_address"] + row * layer["row_bytes"] + byte
                                run.append(memory[place % len(memory)] if inside else layer["pad_value"])
                            end_of_pass = index == len(pixels) - 1
                            beats.append(dict(
                                activations=run, slot=slot, first=ky == 0 and j == 0, half=half, address=index,
                                lanes_in_run=in_run, layer=number, freed=end_of_pass,
                                columns_in_tile=min(config.columns, layer["out_channels"] - tile * config.columns),
                                last=end_of_pass and ky == layer["kernel_rows"] - 1 and j == layer["run_chunks"] - 1))
                        slot = (slot + 1) % config.weight_slots
                half ^= 1
    return beats


class Bench:
    """A sequencer among neighbours that keep it waiting at random if ``slow``, and checks of all it promises them."""

    def __init__(self, config, layers, rng, *, slow, transfer_rate=.01):
        self.transfer_rate = transfer_rate
        self.config, self.layers, self.rng, self.slow = config, layers, rng, slow
        self.dut = PassSequencer(config)
        self.memory = [rng.randint(-128, 127) for _ in range(config.activation_bytes)]
        self.expected = expected_beats(config, layers, self.memory)
        #: Cycle of every beat, and cycles in which each stall was seen.
        self.beat_cycles = []
        self.stalls = dict.fromkeys(STALLS, 0)
        self.starts = self.built = self.passes_begun = self.passes_freed = self.halves_freed = 0
        self.missing = []
        self.done = {"layers": 0, "loads": 0, "stores": 0}
        #: Cycles in which tile_done is due, and the layers of the tiles that are.
        self.due, self.tiles = [], []

    def chance(self, probability):
        return not self.slow or self.rng.random() < probability

    def run(self):
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self.commands, background=True)
        simulator.add_testbench(self.neighbours)
        simulator.run()
        return self

    async def commands(self, ctx):
        command = self.dut.command
        for layer in self.layers:
            while not self.chance(.3):
                await ctx.tick()
            ctx.set(command.payload, fields(layer))
            ctx.set(command.valid, 1)
            await ctx.tick().until(command.ready)
            ctx.set(command.valid, 0)

    async def neighbours(self, ctx):
        dut, config, data, waiting, refused = self.dut, self.config, {}, None, None
        build_rate, free_rate, ready_rate = .5, .5, .5
        for cycle in range(LIMIT):
            if cycle % 100 == 0:
                build_rate, free_rate, ready_rate = (self.rng.choice((.02, .3, 1)) for _ in range(3))
            build = self.built - self.passes_freed < config.weight_slots and self.chance(build_rate)
            ctx.set(dut.built, build)
            free = self.halves_freed < len(self.tiles) and self.chance(free_rate)
            ctx.set(dut.half_freed, free)
            for name in "loads", "stores":
                self.done[name] += self.done[name] < 2 and self.chance(self.transfer_rate)
            for name, count in self.done.items():
                ctx.set(getattr(dut, f"{name}_done"), count)
            ctx.set(dut.window_data, data.pop(cycle, self.rng.getrandbits(8 * config.lanes)))
            ready = self.chance(max(ready_rate, .3))
            ctx.set(dut.window.ready, ready)
            offered = ctx.get(dut.window.payload.address) if ctx.get(dut.window.valid) else None
            assert refused in (None, offered), "a window that was not taken is gone"
            refused = None if ready else offered
            if ready:
                if waiting is not None:
                    data[cycle + latency.ACTIVATION_READ] = sum(
                        self.memory[(waiting + n) % len(self.memory)] % 256 << 8 * n for n in range(config.lanes))
                waiting = offered

            self.check(ctx, cycle)
            # What happened in this cycle counts from the next one on.
            self.built += build
            if free:
                layer = self.tiles[self.halves_freed]
                self.halves_freed += 1
                self.done["layers"] += self.halves_freed == sum(
                    beat["last"] for beat in self.expected if beat["layer"] <= layer)
            if len(self.beat_cycles) == len(self.expected) and not self.due:
                await ctx.tick()
                assert not ctx.get(dut.busy)
                return
            await ctx.tick()
        raise AssertionError(f"{len(self.beat_cycles)} of {len(self.expected)} beats in {LIMIT} cycles")

    def check(self, ctx, cycle):
        dut = self.dut
        stalls = [name for name in STALLS if ctx.get(getattr(dut, name))]
        assert len(stalls) <= 1, stalls
        for name in stalls:
            self.stalls[name] += 1
        # What is missing is known a cycle later.
        before = self.missing
        if self.starts < len(self.layers):
            waited = self.layers[self.starts]
            self.missing = missing = [name for name, count in self.done.items() if count < waited[f"wait_{name}"]]
            if stalls and stalls[0] in ("stall_activations", "stall_write_back"):
                assert before and (stalls[0] == "stall_write_back") == (before == ["layers"])
        if ctx.get(dut.layer_start):
            assert not before and not missing
            self.starts += 1
        done = bool(self.due) and self.due[0] == cycle
        assert ctx.get(dut.tile_done) == done, f"cycle {cycle}"
        if done:
            self.due.pop(0)
        if ctx.get(dut.beat.valid):
            self.check_beat(ctx, cycle)
        else:
            assert not ctx.get(dut.freed)
        if done:
            self.tiles.append([beat["layer"] for beat in self.expected if beat["last"]][len(self.tiles)])

    def check_beat(self, ctx, cycle):
        dut, number = self.dut, len(self.beat_cycles)
        expected = self.expected[number]
        assert ctx.get(dut.busy)
        for name in "slot", "first", "half", "address":
            assert ctx.get(dut.beat[name]) == expected[name], f"{name} of beat {number}"
        assert [ctx.get(value) for value in dut.beat.activations] == expected["activations"], f"beat {number}"
        for name in "lanes_in_run", "columns_in_tile", "freed":
            assert ctx.get(getattr(dut, name)) == expected[name], f"{name} of beat {number}"
        if expected["address"] == 0:
            self.passes_begun += 1
            assert self.passes_begun <= self.built, "a pass began before its weights were built"
            halves_used = len(self.tiles) + len(self.due) + 1 - self.halves_freed
            assert halves_used <= 2 or not expected["first"], "a half was used before it was drained"
        self.passes_freed += expected["freed"]
        for before, beat in zip(self.beat_cycles[:-latency.ACCUMULATE:-1], self.expected[number - 1::-1]):
            same = (beat["half"], beat["address"]) == (expected["half"], expected["address"])
            assert not same or cycle - before >= latency.ACCUMULATE, "two accumulations are too close"
        if expected["last"]:
            self.due.append(cycle + latency.array_depth(self.config) - 1)
        self.beat_cycles.append(cycle)


@pytest.mark.parametrize("seed", range(8))
def test_random_layers(seed):
    """Layers of every kind, with everything late at random; some wait for the layer before them or for loads."""
    rng = random.Random(seed)
    overrides = dict(), dict(lanes=16, weight_slots=2), dict(lanes=4, bus_bits=32)
    config = EngineConfig.preset("tiny", **overrides[seed % 3])
    layers = []
    while len(layers) < 5:
        layer = random_layer(config, rng)
        if len(expected_beats(config, [layer], [0] * config.activation_bytes)) < 2000:
            waits = len(layers) - (len(layers) in (1, 3) and rng.randint(0, 1))
            layers.append(layer | dict(wait_layers=waits, wait_loads=min(len(layers), 2),
                                       wait_stores=len(layers) // 2))
    transfers_late = seed % 2
    bench = Bench(config, layers, rng, slow=True, transfer_rate=.0005 if transfers_late else .1).run()
    assert bench.starts == len(layers)
    waited_for = "stall_activations" if transfers_late else "stall_write_back"
    assert all(bench.stalls[name] for name in ("stall_weights", waited_for, "stall_bank"))


def test_no_gaps():
    """With nothing to wait for, every cycle has a beat, but one between layers."""
    rng = random.Random(1)
    config = EngineConfig.preset("tiny")
    layers = [layer_fields(config, rng, height=7, width=6, channels=11, kernel=3, padding=1, out_channels=9,
                           tile_pixels=14),
              layer_fields(config, rng, height=8, width=8, channels=8, kernel=1, out_channels=8, tile_pixels=32),
              layer_fields(config, rng, height=9, width=9, channels=5, kernel=5, padding=4, stride=2, out_channels=4),
              layer_fields(config, rng, height=3, width=1, channels=40, kernel=1, out_channels=4)]
    bench = Bench(config, layers, rng, slow=False).run()
    gaps = [cycle - before for before, cycle in zip(bench.beat_cycles, bench.beat_cycles[1:])]
    layer_ends = [beat["layer"] != after["layer"] for beat, after in zip(bench.expected, bench.expected[1:])]
    assert gaps == [2 if end else 1 for end in layer_ends]
    assert not any(bench.stalls.values())


def test_short_passes_are_stretched():
    rng = random.Random(2)
    config = EngineConfig.preset("tiny")
    for pixels in range(1, latency.ACCUMULATE + 1):
        layer = layer_fields(config, rng, height=1, width=pixels, channels=100, kernel=1, out_channels=4)
        bench = Bench(config, [layer], rng, slow=False).run()
        passes = layer["run_chunks"]
        assert bench.beat_cycles[-1] - bench.beat_cycles[0] == (passes - 1) * latency.ACCUMULATE + pixels - 1
        assert bench.stalls["stall_short"] >= (passes - 1) * (latency.ACCUMULATE - pixels)


def test_half_is_waited_for():
    """A third tile waits for the first half; ``start`` makes both free and begins with half 0 again."""
    config = EngineConfig.preset("tiny")
    dut = PassSequencer(config)
    layer = layer_fields(config, random.Random(3), height=4, width=3, channels=8, kernel=1, tile_pixels=4)
    halves = []

    async def drive(ctx):
        ctx.set(dut.window.ready, 1)
        ctx.set(dut.command.payload, fields(layer))
        for program in range(2):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.command.valid, 1)
            ctx.set(dut.built, 1)
            stalled = 0
            for cycle in range(60):
                if cycle == 3:
                    ctx.set(dut.built, 0)
                ctx.set(dut.half_freed, cycle == 40)
                if cycle < 40 and ctx.get(dut.beat.valid):
                    halves.append(ctx.get(dut.beat.half))
                stalled += ctx.get(dut.stall_sums)
                if ctx.get(dut.layer_start):
                    await ctx.tick()
                    ctx.set(dut.command.valid, 0)
                else:
                    await ctx.tick()
            assert stalled > 20 and not ctx.get(dut.busy)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert halves == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
