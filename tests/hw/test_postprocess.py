"""The post-processor between models of its neighbours, against docs/specification.md, section 3, in plain Python."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from arch import latency
from arch.config import EngineConfig
from arch.descriptor import PoolMode
from hw.commands import PostCommand
from hw.postprocess import PostProcessor

LIMIT = 60_000


def fields(layer: dict) -> dict:
    """The part of a layer's description that the command carries."""
    return {name: layer[name] for name in PostCommand.members}


@dataclass
class LayerCase:
    """A layer's command, its sums [channel][pixel], and (multiplier, bias) of every channel."""

    command: dict
    sums: list
    parameters: list = field(repr=False)


def make_layer(rng, config, *, channels, size, pool=PoolMode.NONE, window=(0, 0, 0), residual=False, wide=False,
               relu=False, in_place=False, row_padding=None):
    """A random layer with a map of ``size`` (height, width) and pool ``window`` (kernel, stride, padding).

    With ``row_padding`` it is a strip of the map: so many rows of padding above it, none below.
    """
    (height, width), (kernel, stride, padding) = size, window
    pixels = height * width
    pooled = [(length + 2 * padding - kernel) // stride + 1 if stride else 0 for length in size]
    if row_padding is not None:
        pooled[0] = (height + row_padding - kernel) // stride + 1
    bits = rng.randint(8, config.accumulator_bits)
    shift = max(0, bits + 17 - rng.randint(7, 9))
    tile_pixels = rng.randint(min(pixels, 3), min(pixels, config.partial_sums))
    address_limit = config.activation_bytes
    residual_address = rng.randrange(address_limit)
    # Far enough apart that a layer does not write its own residual, unless it does so in place.
    output_address = residual_address if in_place else (residual_address + address_limit // 2) % address_limit
    command = dict(
        map_height=height, map_width=width, pixels=pixels, pixel_tiles=-(-pixels // tile_pixels),
        tile_pixels=tile_pixels, out_channels=channels, column_tiles=-(-channels // config.columns),
        residual=residual, wide=wide, pool=pool, shift=max(0, shift - 24) if wide else shift,
        clamp_low=0 if relu else rng.choice((-128, -128, -90)),
        residual_multiplier=rng.randrange(-(1 << 17), 1 << 17) if residual else 0, residual_address=residual_address,
        output_address=output_address, pool_kernel=kernel, pool_stride=stride, pool_padding=padding,
        pool_row_padding=padding if row_padding is None else row_padding, pool_shift=rng.randint(12, 18),
        pool_height=pooled[0], pool_width=pooled[1],
        pool_multiplier=rng.randrange(1 << 14, 1 << 17) // max(pixels // 4, 1), pool_row_bytes=pooled[1] * channels)
    sums = [[rng.randrange(-(1 << bits - 1), 1 << bits - 1) for _ in range(pixels)] for _ in range(channels)]
    parameters = [(rng.randrange(-(1 << 17), 1 << 17), rng.randrange(-(1 << shift + 6), 1 << shift + 6))
                  for _ in range(channels)]
    return LayerCase(command, sums, parameters)


def requantise(total, shift):
    """Rounded half up."""
    return (total + (1 << shift - 1 if shift else 0)) >> shift


def model(layer, memory):
    """Applies the layer to the activation memory, a bytearray; returns the number of saturated outputs."""
    c, channels = layer.command, layer.command["out_channels"]

    def store(address, value, count=1):
        for byte in range(count):
            memory[(address + byte) % len(memory)] = value >> 8 * byte & 0xFF

    def signed_byte(address):
        return (memory[address % len(memory)] ^ 0x80) - 0x80

    values = {}
    outputs = {}
    for pixel in range(c["pixels"]):
        for k in range(channels):
            multiplier, bias = layer.parameters[k]
            total = layer.sums[k][pixel] * multiplier + bias
            if c["residual"]:
                total += c["residual_multiplier"] * signed_byte(c["residual_address"] + pixel * channels + k)
            values[pixel, k] = requantise(total, c["shift"])
            outputs[pixel, k] = min(max(values[pixel, k], c["clamp_low"]), 127)
    counted = set(values)
    if c["wide"]:
        counted = set()
        for (pixel, k), value in values.items():
            store(c["output_address"] + 4 * (pixel * channels + k), min(max(value, -(1 << 31)), (1 << 31) - 1), 4)
    elif c["pool"] == PoolMode.NONE:
        for (pixel, k), value in outputs.items():
            store(c["output_address"] + pixel * channels + k, value)
    elif c["pool"] == PoolMode.AVERAGE:
        for k in range(channels):
            total = sum(outputs[pixel, k] for pixel in range(c["pixels"])) * c["pool_multiplier"]
            store(c["output_address"] + k, min(max(requantise(total, c["pool_shift"]), -128), 127))
    else:
        counted = set()
        for py in range(c["pool_height"]):
            for px in range(c["pool_width"]):
                rows = [py * c["pool_stride"] - c["pool_row_padding"] + dy for dy in range(c["pool_kernel"])]
                columns = [px * c["pool_stride"] - c["pool_padding"] + dx for dx in range(c["pool_kernel"])]
                inside = [y * c["map_width"] + x for y in rows if 0 <= y < c["map_height"]
                          for x in columns if 0 <= x < c["map_width"]]
                for k in range(channels):
                    store(c["output_address"] + py * c["pool_row_bytes"] + px * channels + k,
                          max(outputs[pixel, k] for pixel in inside))
                    counted |= {(pixel, k) for pixel in inside}
    return sum(values[key] > 127 for key in counted)


def pixel_cycles(config, layer, tile, pixel):
    """Cycles of one pixel of column tile ``tile``, as promised by the drain walker, without waits for residuals."""
    c = layer.command
    columns = min(config.columns, c["out_channels"] - tile * config.columns)
    groups = columns if c["wide"] else -(-columns // config.requantiser_lanes)
    if c["pool"] != PoolMode.MAX:
        return groups
    targets = 1
    for position, padding, windows in zip(divmod(pixel, c["map_width"]), (c["pool_row_padding"], c["pool_padding"]),
                                          (c["pool_height"], c["pool_width"])):
        targets *= sum(0 <= position - (window * c["pool_stride"] - padding) < c["pool_kernel"]
                       for window in range(windows))
    if pixel % c["map_width"] == c["map_width"] - 1:
        return targets * groups + latency.POOL_UPDATE
    return max(targets * groups, latency.POOL_UPDATE) if targets else 1


class Bench:
    """Array, activation memory, parameter buffer and dispatcher around a PostProcessor, all in one cycle loop.

    Each unit is late with probability ``stalls``; a patient read is refused with probability ``clashes``.
    """

    def __init__(self, config, layers, seed, stalls, clashes):
        self.config, self.layers, self.stalls, self.clashes = config, layers, stalls, clashes
        self.rng = random.Random(seed)
        self.begun = self.rng.randbytes(config.activation_bytes)
        self.memory = bytearray(self.begun)
        self.dut = PostProcessor(config)
        self.freed_at = []
        self.waited_at = []
        self.refused = 0
        self.saturations = 0

    def waits(self):
        return self.rng.random() < self.stalls

    def tiles(self):
        """The sums of every (column tile, pixel tile), as lists of K per pixel."""
        columns = self.config.columns
        for layer in self.layers:
            c = layer.command
            for tile in range(c["column_tiles"]):
                for start in range(0, c["pixels"], c["tile_pixels"]):
                    pixels = range(start, min(start + c["tile_pixels"], c["pixels"]))
                    yield [[layer.sums[k][pixel] if k < c["out_channels"] else self.rng.randrange(1 << 16)
                            for k in range(tile * columns, (tile + 1) * columns)] for pixel in pixels]

    def rows(self):
        """Parameter rows of all layers, the unused lanes random."""
        lanes = self.config.requantiser_lanes
        for layer in self.layers:
            for start in range(0, len(layer.parameters), lanes):
                row = layer.parameters[start:start + lanes]
                yield row + [(self.rng.randrange(1 << 17), self.rng.randrange(1 << 40))] * (lanes - len(row))

    async def run(self, ctx):
        config, dut, rng = self.config, self.dut, self.rng
        # What reads see lags behind what is written.
        expected, readable = bytearray(self.memory), bytearray(self.memory)
        writes = deque([[]] * (latency.ACTIVATION_WRITE - 1))
        expected_saturations = 0
        width = max(config.requantiser_lanes, 4)
        commands, tiles, rows = [layer.command for layer in self.layers], self.tiles(), self.rows()
        halves, empty_halves, filling = [[], []], 2, 0
        ring, ring_rows = [], 2 * config.columns // config.requantiser_lanes
        aux_pipe = [None] * (latency.ACTIVATION_READ - 1)
        done = 0
        write = pooled = residual = None

        def scramble(half):
            halves[half] = [[rng.randrange(1 << 16) for _ in range(config.columns)] for _ in range(config.partial_sums)]

        scramble(0), scramble(1)
        draining = 0
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for cycle in range(LIMIT):
            # This cycle's inputs.
            ctx.set(dut.command.valid, bool(commands) and (ctx.get(dut.command.valid) or not self.waits()))
            if commands:
                ctx.set(dut.command.payload, fields(commands[0]))
            tile = next(tiles, None) if empty_halves and not self.waits() else None
            if tile is not None:
                halves[filling][:len(tile)] = tile
                filling, empty_halves = 1 - filling, empty_halves - 1
            ctx.set(dut.tile_done, tile is not None)
            if len(ring) < ring_rows and not (self.waits() or self.waits() or self.waits()):
                ring += [row for row in [next(rows, None)] if row]
            ctx.set(dut.rows_ready, len(ring))
            # What was asked for in the cycle before is read in this one, a residual if nothing refuses it.
            ready = residual is None or pooled is None and rng.random() >= self.clashes
            ctx.set(dut.residual.ready, ready)

            (_, _, taken, half, address, next_pool, asked, next_residual, next_write, write_data, row, release, freed,
             layer_done, saturated, trace, waits) = await ctx.tick().sample(
                 dut.command.ready & dut.command.valid, dut.drain_half, dut.drain_address, dut.pool,
                 dut.residual.valid, dut.residual.payload.address, dut.write, dut.write_data, dut.row, dut.release,
                 dut.half_freed, dut.layer_done, dut.saturations, dut.trace, dut.residual_waits)
            if waits:
                self.waited_at.append(cycle)
            # Each refused read holds a step back.
            assert waits == (not ready)
            self.refused += bool(waits and pooled is None)
            # What they and the outputs lead to in the next one.
            if taken:
                commands.pop(0)
                ctx.set(dut.command.valid, 0)
            ctx.set(dut.sums, halves[half][address])
            record = ring[row] if row < len(ring) else [(rng.randrange(1 << 17), 0)] * config.requantiser_lanes
            ctx.set(dut.record, [{"multiplier": multiplier, "bias": bias} for multiplier, bias in record])
            start = pooled if pooled is not None else residual if ready else None
            aux_pipe.append(None if start is None else int.from_bytes(
                bytes(readable[(start + byte) % len(readable)] for byte in range(width)), "little"))
            pooled = next_pool.address if next_pool.valid else None
            if ready:
                residual = next_residual if asked else None
            seen = aux_pipe.pop(0)
            ctx.set(dut.aux_data, rng.getrandbits(8 * width) if seen is None else seen)
            assert trace.valid == (0 if write is None else write.valid)
            written = []
            if trace.valid:
                assert (trace.address, trace.mask, trace.data) == (write.address, write.mask, write_data)
                written = [((write.address + byte) % len(self.memory), write_data >> 8 * byte & 0xFF)
                           for byte in range(width) if write.mask >> byte & 1]
            for at, value in written:
                self.memory[at] = value
            writes.append(written)
            for at, value in writes.popleft():
                readable[at] = value
            write = next_write
            assert release <= len(ring)
            del ring[:release]
            if freed:
                self.freed_at.append(cycle)
                scramble(draining)
                draining, empty_halves = 1 - draining, empty_halves + 1
            self.saturations += saturated
            if layer_done:
                expected_saturations += model(self.layers[done], expected)
                wrong = [at for at, (seen, wanted) in enumerate(zip(self.memory, expected)) if seen != wanted]
                assert not wrong, f"layer {done} {self.layers[done].command}: {len(wrong)} wrong bytes from {wrong[0]}"
                assert self.saturations == expected_saturations
                done += 1
                if done == len(self.layers):
                    assert not ring and empty_halves == 2
                    return
        raise AssertionError(f"timeout in layer {done} {self.layers[done].command}")


def simulate(config, layers, seed, stalls, clashes=0):
    bench = Bench(config, layers, seed, stalls, clashes)
    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    simulator.run()
    return bench


def tiny(columns=4, lanes=2):
    """The tiny configuration with other columns and requantiser lanes, and little else so that tests are quick."""
    return EngineConfig.preset("tiny", columns=columns, lanes=max(8, lanes), requantiser_lanes=lanes, bus_bits=128,
                               activation_bytes=4096, activation_banks=8)


SHAPES = [(4, 2), (8, 8), (8, 2), (2, 1), (16, 16)]
"""Columns and requantiser lanes. With 8 and 8, and 16 and 16, the array's lanes are as many."""


@pytest.mark.parametrize("stalls, clashes", [(0, 0), (.7, .6)])
@pytest.mark.parametrize("columns, lanes", SHAPES)
def test_layers_of_every_kind(columns, lanes, stalls, clashes):
    rng = random.Random(columns * 10 + lanes)
    config = tiny(columns, lanes)
    kinds = [dict(), dict(residual=True), dict(residual=True, in_place=True, relu=True), dict(wide=True),
             dict(wide=True, residual=True), dict(pool=PoolMode.AVERAGE),
             dict(pool=PoolMode.AVERAGE, residual=True, relu=True),
             dict(pool=PoolMode.MAX, window=(2, 2, 0), relu=True), dict(pool=PoolMode.MAX, window=(3, 2, 1)),
             dict(pool=PoolMode.MAX, window=(3, 2, 1), residual=True)]
    rng.shuffle(kinds)
    layers = []
    for kind in kinds:
        channels = rng.choice((1, columns, columns + 1, 2 * columns + rng.randint(1, columns)))
        size = (1, 1) if "window" not in kind and rng.random() < .3 else (rng.randint(2, 6), rng.randint(2, 6))
        layers.append(make_layer(rng, config, channels=channels, size=size, **kind))
    bench = simulate(config, layers, columns, stalls, clashes)
    assert bench.saturations > 0
    assert (bench.refused > 0) == (clashes > 0)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("columns, lanes", [(4, 2), (8, 8)])
def test_residual_of_the_layer_before(columns, lanes, in_place):
    """The last byte of a layer, written two cycles before, is the first residual of the next layer."""
    rng = random.Random(lanes)
    config = tiny(columns, lanes)
    layers = [make_layer(rng, config, channels=lanes, size=(1, 1), residual=True) for _ in range(12)]
    for before, layer in zip(layers, layers[1:]):
        address = before.command["output_address"]
        layer.command.update(residual_address=address,
                             output_address=address if in_place else (address + 100) % config.activation_bytes)
    bench = simulate(config, layers, 0, 0)
    assert {after - before for before, after in zip(bench.freed_at, bench.freed_at[1:])} == {latency.POST_LAYER + 1}


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("columns, lanes, channels", [(4, 2, 4), (8, 2, 6), (8, 8, 8), (2, 1, 2)])
def test_maximum_pool_windows(columns, lanes, channels, residual):
    """Narrow maps, gaps between windows, windows that overlap fully: updates of one byte never come too close."""
    rng = random.Random(lanes)
    config = tiny(columns, lanes)
    windows = [((3, 2, 1), (5, 7)), ((3, 2, 2), (5, 1)), ((3, 2, 2), (4, 2)), ((3, 2, 2), (3, 3)), ((4, 2, 3), (5, 4)),
               ((4, 3, 3), (4, 4)), ((2, 1, 1), (4, 1)), ((2, 3, 0), (6, 9)), ((1, 1, 0), (3, 4)), ((2, 2, 0), (5, 5)),
               ((2, 1, 0), (3, 4))]
    layers = [make_layer(rng, config, channels=channels, size=size, pool=PoolMode.MAX, window=window, residual=residual)
              for window, size in windows]
    # Maps that begin with other padding above than at the left.
    layers += [make_layer(rng, config, channels=channels, size=size, pool=PoolMode.MAX, window=window,
                          row_padding=row_padding, residual=residual)
               for window, size, row_padding in [((3, 2, 1), (5, 7), 0), ((3, 2, 0), (6, 5), 1), ((3, 2, 1), (4, 3), 2),
                                                 ((4, 2, 3), (5, 4), 1), ((2, 2, 1), (4, 4), 0)]]
    simulate(config, layers, lanes, 0, .4 if residual else 0)


def strips(layer, borders):
    """``layer``, which has a maximum pool, as operations that compute the pooled rows between ``borders`` each."""
    c = layer.command
    width, channels = c["map_width"], c["out_channels"]
    stride, padding = c["pool_stride"], c["pool_padding"]
    for begin, end in zip(borders, borders[1:]):
        above = begin * stride - padding
        first, last = max(above, 0), min((end - 1) * stride - padding + c["pool_kernel"], c["map_height"])
        pixels = (last - first) * width
        tile_pixels = min(c["tile_pixels"], pixels)
        command = c | dict(
            map_height=last - first, pixels=pixels, tile_pixels=tile_pixels, pixel_tiles=-(-pixels // tile_pixels),
            pool_row_padding=first - above, pool_height=end - begin,
            output_address=(c["output_address"] + begin * c["pool_row_bytes"]) % 4096,
            residual_address=(c["residual_address"] + first * width * channels) % 4096)
        yield LayerCase(command, [sums[first * width:last * width] for sums in layer.sums], layer.parameters)


@pytest.mark.parametrize("columns, lanes, channels", [(4, 2, 7), (8, 8, 8)])
@pytest.mark.parametrize("window, size", [((3, 2, 1), (12, 5)), ((2, 2, 0), (9, 4)), ((3, 2, 2), (7, 6)),
                                          ((4, 3, 3), (10, 4)), ((2, 3, 1), (11, 5))])
def test_strips_of_a_pooled_map(columns, lanes, channels, window, size):
    """Strips that compute the rows they share once each leave the same pooled map as one operation."""
    rng = random.Random(columns + size[0])
    config = tiny(columns, lanes)
    layer = make_layer(rng, config, channels=channels, size=size, pool=PoolMode.MAX, window=window, residual=True)
    height = layer.command["pool_height"]
    bench = simulate(config, list(strips(layer, [0, 1, height // 2, height])), 0, 0, .2)
    whole = bytearray(bench.begun)
    model(layer, whole)
    assert bench.memory == whole != bench.begun


@pytest.mark.parametrize("columns, lanes, channels", [(4, 2, 7), (8, 2, 6), (8, 8, 8), (16, 16, 18)])
@pytest.mark.parametrize("kind", [dict(), dict(residual=True), dict(wide=True), dict(pool=PoolMode.AVERAGE),
                                  dict(pool=PoolMode.MAX, window=(3, 2, 1)), dict(pool=PoolMode.MAX, window=(2, 3, 0)),
                                  dict(pool=PoolMode.MAX, window=(3, 2, 1), residual=True)])
def test_cycles_of_a_pixel(columns, lanes, channels, kind):
    """Halves that are always ready are drained at exactly the promised pace; each wait for a residual costs a cycle."""
    config = tiny(columns, lanes)
    layers = [make_layer(random.Random(columns), config, channels=channels, size=(8, 7), **kind) for _ in range(2)]
    for layer in layers:
        layer.command.update(tile_pixels=20, pixel_tiles=3)
    bench = simulate(config, layers, 0, 0, .3)
    paces, extra = [], 0
    for layer in layers:
        gap = latency.POST_LAYER
        for tile in range(layer.command["column_tiles"]):
            for start in range(0, 56, 20):
                pixels = range(start, min(start + 20, 56))
                paces.append(gap + extra + sum(pixel_cycles(config, layer, tile, pixel) for pixel in pixels))
                gap, extra = 0, 0
            gap = latency.POST_COLUMN_TILE
            if layer.command["pool"] == PoolMode.AVERAGE:
                extra = latency.POST_AVERAGE + pixel_cycles(config, layer, tile, 0)
    # A step that waits has still so far to go.
    ahead = latency.POST_HALF_FREED - latency.POST_READ
    measured = [after - before - sum(before < waited + ahead < after for waited in bench.waited_at)
                for before, after in zip(bench.freed_at, bench.freed_at[1:])]
    assert measured == paces[1:]
    assert (bench.waited_at != []) == kind.get("residual", False)


def test_latency():
    """From the half of a layer of one group, which the walk waits for, to its write and `layer_done`."""
    config = tiny()
    layer = make_layer(random.Random(0), config, channels=2, size=(1, 1))
    dut = PostProcessor(config)
    seen = {}

    async def testbench(ctx):
        ctx.set(dut.command.payload, fields(layer.command))
        ctx.set(dut.command.valid, 1)
        ctx.set(dut.rows_ready, 1)
        ctx.set(dut.residual.ready, 1)
        for cycle in range(40):
            ctx.set(dut.tile_done, cycle == 10)
            _, _, freed, write, done = await ctx.tick().sample(dut.half_freed, dut.write.valid, dut.layer_done)
            ctx.set(dut.command.valid, 0)
            seen.update({name: cycle for name, high in (("freed", freed), ("write", write), ("done", done)) if high})

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    decided = 10 + latency.POST_TILE
    assert seen == {"freed": decided + latency.POST_HALF_FREED, "write": decided + latency.POST_WRITE - 1,
                    "done": decided + latency.POST_WRITE}


def test_a_residual_that_is_always_refused_waits():
    """Nothing is lost or drained while the activation memory refuses; the step goes on with the read."""
    config = tiny()
    layer = make_layer(random.Random(0), config, channels=2, size=(1, 1), residual=True)
    dut = PostProcessor(config)
    decided = 10 + latency.POST_TILE
    taken = decided + latency.POST_READ - 1
    waits, events = [], {}

    async def testbench(ctx):
        ctx.set(dut.command.payload, fields(layer.command))
        ctx.set(dut.command.valid, 1)
        ctx.set(dut.rows_ready, 1)
        for cycle in range(300):
            ctx.set(dut.tile_done, cycle == 10)
            ctx.set(dut.residual.ready, not taken < cycle < 250)
            _, _, asked, address, waiting, freed, write = await ctx.tick().sample(
                dut.residual.valid, dut.residual.payload.address, dut.residual_waits, dut.half_freed, dut.write.valid)
            ctx.set(dut.command.valid, 0)
            if waiting:
                waits.append(cycle)
            assert asked == (cycle == taken)
            assert not asked or address == layer.command["residual_address"]
            events.update({name: cycle for name, high in (("freed", freed), ("write", write)) if high})

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert waits == list(range(decided + latency.POST_READ, 250))
    waited = 250 - latency.POST_READ
    assert events == {"freed": waited + latency.POST_HALF_FREED, "write": waited + latency.POST_WRITE - 1}


def test_average_of_a_large_map():
    """The sums of an average pool leave the range of a partial sum, and start anew for every column tile."""
    config = EngineConfig.preset("tiny", accumulator_bits=16)
    layer = make_layer(random.Random(3), config, channels=6, size=(20, 20), pool=PoolMode.AVERAGE)
    layer.command.update(shift=0, clamp_low=-128, pool_multiplier=83886, pool_shift=25)
    layer.sums = [[value] * 400 for value in (127, -128, 5, -100, 100, -1)]
    layer.parameters = [(1, 0)] * 6
    bench = simulate(config, [layer], 3, .2)
    start = layer.command["output_address"]
    assert [bench.memory[(start + k) % config.activation_bytes] for k in range(6)] == [127, 128, 5, 156, 100, 255]


def test_start_returns_to_the_first_half():
    """Halves alternate between layers of a program, and a program begins on half 0 wherever the last one ended."""
    config = tiny()
    dut = PostProcessor(config)
    layer = make_layer(random.Random(1), config, channels=2, size=(1, 1))
    halves = []

    async def testbench(ctx):
        ctx.set(dut.command.payload, fields(layer.command))
        ctx.set(dut.rows_ready, 1)
        ctx.set(dut.residual.ready, 1)
        for restart in 0, 1, 0, 1:
            ctx.set(dut.start, restart)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.command.valid, 1)
            ctx.set(dut.tile_done, 1)
            for _ in range(60):
                _, _, half, freed, done = await ctx.tick().sample(dut.drain_half, dut.half_freed, dut.layer_done)
                ctx.set(dut.command.valid, 0)
                ctx.set(dut.tile_done, 0)
                if not freed:
                    read = half
                else:
                    halves.append(read)
                if done:
                    break
            else:
                raise AssertionError("timeout")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert halves == [0, 0, 1, 0]
