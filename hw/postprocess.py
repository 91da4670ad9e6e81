"""The post-processor: partial sums in, activations out, with residual, requantisation and pool on the way."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.bits import count_ones
from hw.commands import PostCommand
from hw.drain import DrainWalker, drain_step
from hw.parameters import parameter_row, row_offset
from hw.requantise import ACCUMULATOR_BITS, Requantiser, rounding

__all__ = ["PostProcessor"]


class PostProcessor(wiring.Component):
    """Drains finished halves of the partial-sum memory through the requantiser into the activation memory.

    Operation: per ``command`` waits for the half of each (column tile, pixel tile), 0, 1, 0, .. over the whole program,
    and passes its sums group by group through the requantiser. A maximum pool is updated in place in the activation
    memory, an average pool is summed here. Layers do not overlap: no residual is read before the ``layer_done`` of the
    layer before.

    A pooled byte is read late in the pipeline, which never stalls: its read is never refused. A residual is read at the
    pipeline's beginning: it is patient, gives way to pooled bytes, and its step waits for it (:class:`DrainWalker`,
    which also says why it gets through).

    Latency: ``LATENCY`` cycles from the walk's decision to the data of the write, one group of R channels per cycle;
    :class:`DrainWalker` gives the cycles of a pixel.

    Members
    -------
    command : In(stream of PostCommand)
    start : In(1)
        A new program: the first half is 0 and no half is finished. Only between layers.
    tile_done : In(1)
        The next half's sums are readable; at most two are waiting.
    half_freed : Out(1)
        The oldest half has been read.
    drain_half, drain_address : Out, sums : In
        Read side of the partial sums, sums one cycle after the address.
    pool : Out({valid, address}), residual : Out(stream of {address}), aux_data : In
        Requests to the activation memory. A pooled byte is read in the next cycle, a residual that is taken in the
        next one with ``ready``; not both. Data come ``latency.ACTIVATION_READ`` cycles after that.
    residual_waits : Out(1)
        A step was held back because its residual could not be read.
    write : Out({valid, address, mask}), write_data : Out
        Writes to the activation memory; the data come one cycle later.
    rows_ready, record : In, row, release : Out
        The parameter buffer; ``record`` one cycle after ``row``.
    layer_done : Out(1)
        The layer's last byte is seen by a read accepted in the next cycle.
    saturations : Out(unsigned)
        Outputs that exceeded 127 before the clamp, each counted once; a pixel in no pool window is not computed.
    trace : Out
        Writes with their data, if ``config.trace``.
    """

    #: From the cycle in which a step is decided to its write.
    LATENCY = latency.POST_WRITE

    def __init__(self, config: EngineConfig):
        self._config = config
        width = max(config.requantiser_lanes, 4)
        address = config.activation_address_bits
        write = {"valid": 1, "address": address, "mask": width}
        super().__init__({
            #: Layers, in running order.
            "command": In(stream.Signature(PostCommand)),
            "start": In(1),
            "tile_done": In(1),
            "half_freed": Out(1),
            "drain_half": Out(1),
            "drain_address": Out(range(config.partial_sums)),
            "sums": In(data.ArrayLayout(signed(config.accumulator_bits), config.columns)),
            "pool": Out(data.StructLayout({"valid": 1, "address": address})),
            "residual": Out(stream.Signature(data.StructLayout({"address": address}))),
            "aux_data": In(8 * width),
            "residual_waits": Out(1),
            "write": Out(data.StructLayout(write)),
            "write_data": Out(8 * width),
            "row": Out(row_offset(config)),
            "record": In(parameter_row(config)),
            "rows_ready": In(range(config.parameter_channels // config.requantiser_lanes + 1)),
            "release": Out(range(config.columns // config.requantiser_lanes + 1)),
            "layer_done": Out(1),
            "saturations": Out(range(config.requantiser_lanes + 1)),
            **({"trace": Out(data.StructLayout(write | {"data": 8 * width}))} if config.trace else {}),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes, groups = config.requantiser_lanes, config.columns // config.requantiser_lanes

        m.submodules.walker = walker = DrainWalker(config)
        wiring.connect(m, wiring.flipped(self.command), walker.command)
        layer = walker.layer
        for name in "start", "tile_done", "rows_ready":
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        wiring.connect(m, walker.residual, wiring.flipped(self.residual))
        m.d.comb += self.residual_waits.eq(~self.residual.ready)

        # steps[n] is the walker's step n cycles after it was decided, besides those that its residual waits in cycle 2
        # and those that it waits for residuals before that.
        steps = [None, None, walker.step]
        for stage in range(3, self.LATENCY):
            steps.append(Signal(drain_step(config), name=f"step_{stage}"))
            m.d.sync += steps[stage].eq(steps[stage - 1])
        with m.If(~self.residual.ready):
            m.d.sync += steps[3].eq(0)
        m.d.sync += steps[3].address.eq(walker.step.address + walker.pool_offset)

        update = steps[latency.POST_POOL_READ - 1]
        m.d.comb += [self.pool.valid.eq(update.update), self.pool.address.eq(update.address)]

        # Cycle 4: sums and parameters are asked for; cycle 5: they come, and the group is picked out.
        m.d.comb += [
            self.drain_half.eq(steps[4].half),
            self.drain_address.eq(steps[4].pixel),
            self.row.eq(steps[4].row),
            self.half_freed.eq(steps[4].frees_half),
            self.release.eq(steps[4].release),
        ]
        group_bits = lanes * config.accumulator_bits
        picked = Signal(data.ArrayLayout(signed(config.accumulator_bits), lanes), reset_less=True)
        records = Signal(parameter_row(config), reset_less=True)
        with m.If(steps[5].valid):
            with m.Switch(steps[5].row):
                for group in range(groups):
                    with m.Case(group):
                        m.d.sync += picked.eq(self.sums.as_value()[group * group_bits:(group + 1) * group_bits])
            m.d.sync += records.eq(self.record)

        # Cycle 6: the requantiser's operands, with the residual, which has come. A wide layer's channel goes through
        # lane 0.
        m.submodules.averages = averages = Memory(
            shape=data.ArrayLayout(signed(ACCUMULATOR_BITS), lanes), depth=max(2, groups), init=[])
        totals, totals_write = averages.read_port(domain="comb"), averages.write_port()
        m.submodules.requantiser = requantiser = Requantiser(config)

        def operand(port):
            register = Signal.like(port, reset_less=True)
            m.d.comb += port.eq(register)
            return register

        m.d.sync += requantiser.valid.eq(steps[6].valid)
        shift, round_up, clamp_low, wide, residual_multiplier = (
            operand(getattr(requantiser, name))
            for name in ("shift", "round_up", "clamp_low", "wide", "residual_multiplier"))
        accumulators, multipliers, biases, residual_operands = (
            [operand(port) for port in getattr(requantiser, name)]
            for name in ("accumulators", "multipliers", "biases", "residuals"))
        chosen_shift = Mux(steps[6].average, layer.pool_shift, layer.shift)
        with m.If(steps[6].valid):
            m.d.sync += [
                residual_multiplier.eq(Mux(steps[6].residual, layer.residual_multiplier, 0)),
                wide.eq(steps[6].wide),
                shift.eq(chosen_shift),
                round_up.eq(rounding(chosen_shift)),
                clamp_low.eq(Mux(steps[6].average, -128, layer.clamp_low)),
            ]
            for lane in range(lanes):
                m.d.sync += [
                    accumulators[lane].eq(Mux(steps[6].average, totals.data[lane], picked[lane])),
                    multipliers[lane].eq(Mux(steps[6].average, layer.pool_multiplier, records[lane].multiplier)),
                    biases[lane].eq(Mux(steps[6].average, 0, records[lane].bias)),
                ]
            with m.Switch(steps[6].lane):
                for lane in range(1, lanes):
                    with m.Case(lane):
                        m.d.sync += [
                            accumulators[0].eq(picked[lane]),
                            multipliers[0].eq(records[lane].multiplier),
                            biases[0].eq(records[lane].bias),
                        ]
        with m.If(steps[latency.POST_READ + latency.ACTIVATION_READ].residual):
            m.d.sync += [residual.eq(self.aux_data.word_select(lane, 8))
                         for lane, residual in enumerate(residual_operands)]

        # Cycle 7: they enter; cycle 12: the result leaves, and a pooled byte comes from the activation memory.
        leave = 7 + Requantiser.LATENCY

        # Cycle 12: sums of the average pool. The old sum has been read a cycle before; if it was being written then, it
        # is what was written.
        before, step, outputs = steps[leave - 1], steps[leave], requantiser.outputs
        m.d.comb += [
            walker.settled.eq(~Cat(steps[stage].accumulate for stage in range(2, leave - 3)).any()),
            totals_write.addr.eq(step.row),
            totals_write.en.eq(step.accumulate),
        ]
        m.d.sync += totals.addr.eq(Mux(steps[5].average, steps[5].row, steps[leave - 2].row))
        repeats = step.accumulate & (step.row == before.row)
        for lane in range(lanes):
            total = Signal(signed(ACCUMULATOR_BITS), name=f"total_{lane}", reset_less=True)
            with m.If(before.accumulate):
                m.d.sync += total.eq(Mux(before.initial, 0, Mux(repeats, totals_write.data[lane], totals.data[lane])))
            m.d.comb += totals_write.data[lane].eq(outputs[lane] + total)

        # A read `latency.POOL_UPDATE` cycles after one of the same address, the earliest there is, does not see what
        # that one's step writes: its bytes are taken from the data of that write, kept here until cycle 12. One
        # address means one pixel and group, and so one mask.
        again = step.write & (step.address == steps[leave - latency.POOL_UPDATE].address)
        pooled, kept = self.aux_data, self.write_data
        for stage in range(leave - latency.POOL_UPDATE + 1, leave + 1):
            repeated = Signal(name=f"again_{stage}")
            m.d.sync += repeated.eq(again)
            if stage == leave:
                pooled = Mux(repeated, kept, pooled)
            else:
                earlier, kept = kept, Signal.like(kept, name=f"kept_{stage + 1}", reset_less=True)
                with m.If(repeated):
                    m.d.sync += kept.eq(earlier)
            again = repeated

        # Cycle 12: where the result goes; cycle 13: the result.
        stored = [Mux(step.update & (old > output), old, output)
                  for old, output in ((pooled[8 * lane:8 * lane + 8].as_signed(), outputs[lane])
                                      for lane in range(lanes))]
        m.d.comb += [
            self.write.valid.eq(step.write),
            self.write.address.eq(step.address),
            self.write.mask.eq(Mux(step.wide, 0b1111, step.mask)),
        ]
        m.d.sync += [
            self.layer_done.eq(step.last),
            self.saturations.eq(Mux(step.count, count_ones(list(requantiser.saturated & step.mask)), 0)),
        ]
        with m.If(step.write):
            m.d.sync += self.write_data.eq(
                Mux(step.wide, requantiser.wide_output, Cat(value[:8] for value in stored)))
        # What is decided five cycles on is read two cycles later, in the second one after `layer_done`.
        m.d.comb += walker.layer_ends.eq(steps[leave - 4].last)
        if config.trace:
            m.d.sync += [self.trace[name].eq(self.write[name]) for name in ("valid", "address", "mask")]
            m.d.comb += self.trace.data.eq(self.write_data)
        return m
