"""The pass sequencer: reads the activations of every pass and feeds the array."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.array import beat_layout
from hw.commands import COUNT_BITS, PassCommand
from hw.passes import PassWalker, pass_step
from hw.queue import RegisterSlice

__all__ = ["PassSequencer"]


class PassSequencer(wiring.Component):
    """Turns a layer into window requests and, when their data are there, into beats for the array.

    Operation: for column tile, pixel tile, kernel row ky, chunk j of the run: one pass over the tile's pixels in raster
    order. Pixel (oy, ox) reads ``lanes`` bytes of input row oy * stride + ky - pad_rows from byte
    ox * step_bytes - pad_bytes + j * lanes on; bytes outside the row, or of rows outside the map, become the pad value.
    Bytes past the run are whatever follows: their weights are zero. A pass starts when its weight slot is built and,
    if it is the first of its pixel tile, a half of the partial sums is free. A pass of fewer than
    ``latency.ACCUMULATE`` pixels is stretched to it. Passes follow each other without a gap, layers with one idle
    cycle. Up to two windows wait between the decision and the activation memory; the cycles that a pass is stretched
    by wait in line with them, so that refusals never bring two accumulations closer.

    Latency: a window is offered in the cycle after the decision on it and read in the next one, after it was taken, in
    which ``window.ready`` is set: at the earliest ``latency.WINDOW_READ`` cycles after the decision. The beat follows
    ``latency.ACTIVATION_READ`` + 1 cycles later.

    Members
    -------
    See the comments on the ports. At most one ``stall_`` port is set in a cycle; it says why no window was decided on.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: A new program: the first half is 0 and both are free. Only between layers.
            "start": In(1),
            #: Layers, in running order.
            "command": In(stream.Signature(PassCommand)),
            #: Completed layers, loads and stores of this program.
            "layers_done": In(COUNT_BITS),
            "loads_done": In(COUNT_BITS),
            "stores_done": In(COUNT_BITS),
            #: Runs to read, from a register, and their bytes ``latency.ACTIVATION_READ`` cycles after the read, in the
            #: next cycle with ``ready`` after the one in which they are taken.
            "window": Out(stream.Signature(data.StructLayout({"address": config.activation_address_bits}))),
            "window_data": In(8 * config.lanes),
            #: Work for the array.
            "beat": Out(beat_layout(config)),
            #: With ``beat.valid``: how many of its lanes are inside the run; how many columns have an output channel.
            "lanes_in_run": Out(range(config.lanes + 1)),
            "columns_in_tile": Out(range(config.columns + 1)),
            #: One cycle: a weight slot has been written.
            "built": In(1),
            #: One cycle, with the last beat of a pass: its weight slot may be written again.
            "freed": Out(1),
            #: One cycle: from the next cycle on, drain requests see all sums of the next half.
            "tile_done": Out(1),
            #: One cycle: the oldest half in use has been drained.
            "half_freed": In(1),
            #: A layer is being worked on, or its sums are not complete yet.
            "busy": Out(1),
            #: One cycle: a layer's command is taken.
            "layer_start": Out(1),
            #: The next pass's weights are not built yet.
            "stall_weights": Out(1),
            #: The next layer waits for loads or stores.
            "stall_activations": Out(1),
            #: The next layer waits for the write-back of others, and for nothing else.
            "stall_write_back": Out(1),
            #: No half of the partial sums is free.
            "stall_sums": Out(1),
            #: The activation memory refused reads: two windows wait.
            "stall_bank": Out(1),
            #: A pass too short for the accumulator is stretched.
            "stall_short": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.walker = walker = PassWalker(config)
        wiring.connect(m, wiring.flipped(self.command), walker.command)
        m.d.comb += [getattr(walker, name).eq(getattr(self, name))
                     for name in ("start", "layers_done", "loads_done", "stores_done")]
        m.d.comb += self.layer_start.eq(walker.layer_start)

        # Decide: one window a cycle, if the pass may begin and there is room. The slice keeps the activation memory's
        # ``ready`` out of the walk.
        step = walker.step
        m.submodules.slice = windows = RegisterSlice(data.StructLayout({"step": pass_step(config), "reads": 1}))
        slots_built, no_slot = Signal(range(config.weight_slots + 1)), Signal(init=1)
        halves_free, no_half = Signal(range(3), init=2), Signal()
        stretch, stretching = Signal(range(latency.ACCUMULATE)), Signal()
        with m.If(~windows.enter.ready):
            m.d.comb += self.stall_bank.eq(1)
        with m.Elif(stretching):
            m.d.comb += self.stall_short.eq(1)
            m.d.sync += [stretch.eq(stretch - 1), stretching.eq(stretch != 1)]
        with m.Elif(~walker.active):
            m.d.comb += [
                self.stall_activations.eq(walker.waits_transfers),
                self.stall_write_back.eq(walker.waits_layers & ~walker.waits_transfers),
            ]
        with m.Elif(step.begins & no_slot):
            m.d.comb += self.stall_weights.eq(1)
        with m.Elif(step.begins & step.first & no_half):
            m.d.comb += self.stall_sums.eq(1)
        with m.Else():
            m.d.comb += walker.advance.eq(1)
            with m.If(step.last_of_pass & (step.address < latency.ACCUMULATE - 1)):
                m.d.sync += [stretch.eq(latency.ACCUMULATE - 1 - step.address), stretching.eq(1)]
        slot_taken = walker.advance & step.begins
        next_built, next_free = Signal.like(slots_built), Signal.like(halves_free)
        m.d.comb += [
            next_built.eq(slots_built + self.built - slot_taken),
            next_free.eq(Mux(self.start, 2, halves_free + self.half_freed - (slot_taken & step.first))),
        ]
        m.d.sync += [
            slots_built.eq(next_built), no_slot.eq(next_built == 0),
            halves_free.eq(next_free), no_half.eq(next_free == 0),
        ]

        # Request. A pass that is stretched sends cycles without a read along, which keep its sums apart whatever waits.
        offered = windows.leave.payload
        m.d.comb += [
            windows.enter.valid.eq(walker.advance | stretching),
            windows.enter.payload.step.eq(step),
            windows.enter.payload.reads.eq(~stretching),
            self.window.valid.eq(windows.leave.valid & offered.reads),
            self.window.payload.address.eq(offered.step.window),
            windows.leave.ready.eq(self.window.ready),
        ]

        # Read. Entry d of `valids` and `steps` belongs to the read of d cycles ago.
        requested, waiting = Signal(pass_step(config), reset_less=True), Signal()
        with m.If(self.window.ready):
            m.d.sync += [waiting.eq(self.window.valid), requested.eq(offered.step)]
        valids, steps = [waiting & self.window.ready], [requested]
        for cycle in range(1, latency.ACTIVATION_READ + 2):
            valids.append(Signal(name=f"valid_{cycle}"))
            steps.append(Signal(pass_step(config), name=f"step_{cycle}", reset_less=True))
            m.d.sync += [valids[cycle].eq(valids[cycle - 1]), steps[cycle].eq(steps[cycle - 1])]

        # One cycle on: which bytes lie inside the map. The data come ACTIVATION_READ cycles on, the beat follows.
        insides = [None, Signal(config.lanes, name="inside_1")]
        m.d.comb += insides[1].eq(_inside(steps[1], config.lanes))
        for cycle in range(2, latency.ACTIVATION_READ + 1):
            insides.append(Signal(config.lanes, name=f"inside_{cycle}", reset_less=True))
            m.d.sync += insides[cycle].eq(insides[cycle - 1])
        read = steps[latency.ACTIVATION_READ]
        activations = Signal(8 * config.lanes, reset_less=True)
        m.d.sync += activations.eq(Cat(
            Mux(inside, self.window_data.word_select(lane, 8), read.pad_value)
            for lane, inside in enumerate(insides[latency.ACTIVATION_READ])))
        valid, last = valids[-1], steps[-1]
        parts = {"valid": valid, "activations": activations,
                 **{name: last[name] for name in ("slot", "first", "half", "address")}}
        m.d.comb += [
            self.beat.eq(Cat(parts[name] for name, _ in beat_layout(config))),
            self.lanes_in_run.eq(last.lanes_in_run),
            self.columns_in_tile.eq(last.columns_in_tile),
            self.freed.eq(valid & last.last_of_pass),
        ]

        # Sums of a tile's last beat can be asked for `array_depth` cycles after it.
        finishing = [valid & last.last_of_tile]
        for cycle in range(1, latency.array_depth(config)):
            finishing.append(Signal(name=f"finishing_{cycle}"))
            m.d.sync += finishing[cycle].eq(finishing[cycle - 1])
        m.d.comb += [
            self.tile_done.eq(finishing[-1]),
            self.busy.eq(walker.busy | windows.leave.valid | waiting | Cat(valids[1:], finishing[1:]).any()),
        ]
        return m


def _inside(step, lanes: int) -> Value:
    """A bit per lane: the byte lies inside the input map."""
    every = Const((1 << lanes) - 1, lanes)
    before = Mux(step.position >= 0, 0, Mux(step.position <= -lanes, lanes, (-step.position)[:lanes.bit_length()]))
    until = Mux(step.bytes_left <= 0, 0, Mux(step.bytes_left >= lanes, lanes, step.bytes_left[:lanes.bit_length()]))
    return Mux(step.row_inside, (every << before) & ~(every << until), 0)[:lanes]
