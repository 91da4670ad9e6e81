"""The engine: dispatcher, weight path, array, post-processor and activation memory behind one memory interface."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch import descriptor
from arch.config import EngineConfig
from arch.counters import COUNTER_BITS, COUNTERS
from arch.depths import COMMANDS_AHEAD, OUTSTANDING_BURSTS
from arch.descriptor import Error
from hw.activations import ActivationMemory
from hw.array import Array
from hw.builder import WeightBuilder
from hw.commands import COUNT_BITS, TransferCommand
from hw.crc import StreamCrc
from hw.decoder import CoatDecoder, connect_masks
from hw.dispatch import LAYER_COMMANDS, Dispatcher
from hw.masks import MaskBuffer
from hw.memory import POSITION_BITS, BurstReader, ReadArbiter, memory_port
from hw.parameters import ParameterBuffer
from hw.postprocess import PostProcessor
from hw.queue import Queue
from hw.segments import SEGMENT_BITS, SegmentChecker
from hw.sequencer import PassSequencer
from hw.transfer import LoadUnit, StoreUnit
from hw.watchdog import Watchdog

__all__ = ["Engine"]


class Engine(wiring.Component):
    """A whole supermask engine.

    Operation: a pulse on ``start`` runs the program at ``program_address``; descriptors, masks, parameters and
    activations cross the memory interface only. ``done`` rises when everything has been written back and stays high
    until the next start; ``error``, ``error_position`` and ``error_segment`` then say what went wrong first, if
    anything did. After an error nothing more is begun, and ``done`` rises when what was begun has ended, or when
    nothing has moved for ``config.watchdog_cycles`` cycles.

    Members
    -------
    memory : Out(memory_port)
    counters : Out(struct)
        One 48-bit counter per entry of ``arch.counters.COUNTERS``.
    trace : Out(struct)
        The post-processor's writes into the activation memory, if ``config.trace``.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = config
        self._emit = emit
        ports = {
            #: Run the program at ``program_address``.
            "start": In(1),
            #: Byte address of the program.
            "program_address": In(32),
            #: A program is running.
            "busy": Out(1),
            #: The last program has ended.
            "done": Out(1),
            #: Why the last program failed (``arch.descriptor.Error``).
            "error": Out(4),
            #: Index of the descriptor it failed at.
            "error_position": Out(POSITION_BITS),
            #: Segment of its masks or parameters whose checksum is wrong; 0 for other errors.
            "error_segment": Out(SEGMENT_BITS),
            #: The memory interface.
            "memory": Out(memory_port(config)),
            #: A layer's first pass may begin: the pass sequencer has taken its command.
            "layer_start": Out(1),
            #: A layer's last output is written.
            "layer_done": Out(1),
            "counters": Out(wiring.Signature({name: Out(COUNTER_BITS) for name in COUNTERS})),
        }
        if config.trace:
            width = max(config.requantiser_lanes, 4)
            ports["trace"] = Out(wiring.Signature({
                "valid": Out(1), "address": Out(config.activation_address_bits), "data": Out(8 * width),
                "mask": Out(width),
            }))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config

        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        m.submodules.masks = masks = MaskBuffer(config)
        m.submodules.decoder = decoder = CoatDecoder(config, emit=self._emit)
        m.submodules.builder = builder = WeightBuilder(config)
        m.submodules.array = array = Array(config, emit=self._emit)
        m.submodules.sequencer = sequencer = PassSequencer(config)
        m.submodules.parameters = parameters = ParameterBuffer(config)
        m.submodules.post = post = PostProcessor(config)
        m.submodules.activations = activations = ActivationMemory(config)
        m.submodules.load = load = LoadUnit(config)
        m.submodules.store = store = StoreUnit(config)

        start = Signal()
        m.d.comb += [
            start.eq(self.start & ~dispatcher.busy),
            dispatcher.start.eq(self.start),
            dispatcher.program_address.eq(self.program_address),
            self.busy.eq(dispatcher.busy),
            self.done.eq(dispatcher.done),
        ]

        # Commands, each through a queue, so that the dispatcher runs ahead of every unit.
        layer_queues = {}
        for name, payload in LAYER_COMMANDS.items():
            m.submodules[f"{name}_queue"] = queue = Queue(payload, COMMANDS_AHEAD)
            wiring.connect(m, getattr(dispatcher, name), queue.enter)
            layer_queues[name] = queue.leave
        for name, unit in ("load", load), ("store", store):
            m.submodules[f"{name}_queue"] = queue = Queue(TransferCommand, COMMANDS_AHEAD)
            wiring.connect(m, getattr(dispatcher, name), queue.enter)
            wiring.connect(m, queue.leave, unit.command)
        wiring.connect(m, layer_queues["mask"], masks.command)
        wiring.connect(m, layer_queues["build"], builder.command)
        wiring.connect(m, layer_queues["passes"], sequencer.command)
        wiring.connect(m, layer_queues["post"], post.command)
        decode = layer_queues["decode"]
        decode_position = Signal(POSITION_BITS)
        m.d.comb += [
            decoder.command.payload.eq(decode.payload.command),
            decoder.command.valid.eq(decode.valid),
            decode.ready.eq(decoder.command.ready),
        ]
        with m.If(decode.valid & decode.ready):
            m.d.sync += decode_position.eq(decode.payload.position)
        # The decoder's errors come two cycles behind what they are about, or three: the next layer may have begun.
        earlier_position, error_position = Signal(POSITION_BITS), Signal(POSITION_BITS)
        m.d.sync += [earlier_position.eq(decode_position), error_position.eq(earlier_position)]

        # Read side of the memory interface.
        m.submodules.mask_checker = mask_checker = SegmentChecker(config)
        m.submodules.parameter_checker = parameter_checker = SegmentChecker(config)
        m.d.comb += [
            masks.beats.payload.eq(mask_checker.content.payload),
            masks.beats.valid.eq(mask_checker.content.valid),
            # There is room for whatever its reader has asked for.
            mask_checker.content.ready.eq(1),
        ]
        wiring.connect(m, parameter_checker.content, parameters.beats)
        descriptor_beats = descriptor.BYTES // config.bus_bytes
        # The load unit writes a beat as it comes; only the post-processor's writes can hold it up.
        load_space = OUTSTANDING_BURSTS * config.burst_beats
        readers = {
            "program": (dispatcher.read, dispatcher.beats, Const(descriptor_beats)),
            "mask": (layer_queues["mask_read"], mask_checker.beats, masks.space),
            "parameter": (layer_queues["parameter_read"], parameter_checker.beats, parameters.space),
            "load": (load.read, load.beats, Const(load_space)),
        }
        m.submodules.arbiter = arbiter = ReadArbiter(config, len(readers))
        wiring.connect(m, arbiter.read_request, wiring.flipped(self.memory.read_request))
        wiring.connect(m, wiring.flipped(self.memory.read_data), arbiter.read_data)
        arrivals, commands, reading = {}, {}, []
        for index, (name, (command, beats, space)) in enumerate(readers.items()):
            m.submodules[f"{name}_reader"] = reader = BurstReader(config, (1 << space.shape().width) - 1)
            wiring.connect(m, reader.request, arbiter.requests[index])
            wiring.connect(m, arbiter.beats[index], beats)
            commands[name] = reader.command
            reading += [command.valid, reader.busy]
            arrivals[name] = arrived = Signal(name=f"{name}_arrived")
            m.d.comb += [
                arrived.eq(beats.valid & beats.ready),
                reader.space.eq(space),
                reader.returned.eq(arrived),
            ]
            if name != "parameter":
                wiring.connect(m, command, reader.command)
        # The parameter buffer takes a layer's beats only once it has its command: they begin together.
        parameter_commands = ((layer_queues["parameters"], parameters.command),
                              (layer_queues["parameter_read"], commands["parameter"]))
        begins = Cat(queue.valid & unit.ready for queue, unit in parameter_commands).all()
        for queue, unit in parameter_commands:
            m.d.comb += [unit.payload.eq(queue.payload), unit.valid.eq(begins), queue.ready.eq(begins)]
        m.d.sync += dispatcher.quiet.eq(~Cat(reading).any())

        # Checksums of all that has any.
        checked = {"program": dispatcher, "mask": mask_checker, "parameter": parameter_checker}
        m.submodules.crc = crc = StreamCrc(config.bus_bits, len(checked))
        m.d.comb += [
            crc.beat.eq(self.memory.read_data.payload),
            crc.valid.eq(Cat(arrivals[name] for name in checked).any()),
            crc.stream.eq(arbiter.client),
            crc.first.eq(Cat(arrivals[name] & unit.first for name, unit in checked.items()).any()),
            *(unit.crc.eq(crc.state) for unit in checked.values()),
        ]

        wiring.connect(m, store.write_request, wiring.flipped(self.memory.write_request))
        wiring.connect(m, store.write_data, wiring.flipped(self.memory.write_data))
        wiring.connect(m, wiring.flipped(self.memory.write_done), store.write_done)

        # Weight path.
        m.d.comb += builder.seed.eq(dispatcher.seed)
        wiring.connect(m, builder.step, decoder.step)
        wiring.connect(m, decoder.rows, builder.rows)
        connect_masks(m, masks, decoder)
        m.d.comb += [
            array.write.eq(builder.write),
            sequencer.built.eq(builder.built),
            builder.freed.eq(sequencer.freed),
        ]

        # Activations, passes and their results.
        wiring.connect(m, sequencer.window, activations.window)
        wiring.connect(m, post.residual, activations.residual)
        wiring.connect(m, load.load, activations.load)
        wiring.connect(m, store.store, activations.store)
        m.d.comb += [
            sequencer.window_data.eq(activations.window_data),
            store.store_data.eq(activations.store_data),
            array.beat.eq(sequencer.beat),
            array.drain_half.eq(post.drain_half),
            array.drain_address.eq(post.drain_address),
            post.sums.eq(array.sums),
            post.tile_done.eq(sequencer.tile_done),
            sequencer.half_freed.eq(post.half_freed),
            activations.pool.eq(post.pool),
            post.aux_data.eq(activations.aux_data),
            activations.write.eq(post.write),
            activations.write_data.eq(post.write_data),
            parameters.row.eq(post.row),
            post.record.eq(parameters.record),
            post.rows_ready.eq(parameters.rows_ready),
            parameters.release.eq(post.release),
            self.layer_start.eq(sequencer.layer_start),
            self.layer_done.eq(post.layer_done),
            sequencer.start.eq(start),
            post.start.eq(start),
        ]
        if config.trace:
            m.d.comb += [getattr(self.trace, name).eq(post.trace[name])
                         for name in ("valid", "address", "data", "mask")]

        # What is complete, for dependencies and the end of the program.
        layers_done, loads_done, stores_done = (
            Signal(COUNT_BITS, name=f"{name}_done") for name in ("layers", "loads", "stores"))
        for count, done in (layers_done, post.layer_done), (loads_done, load.done), (stores_done, store.done):
            m.d.sync += count.eq(Mux(start, 0, count + done))
        for unit in dispatcher, load, store, sequencer:
            m.d.comb += [unit.layers_done.eq(layers_done), unit.loads_done.eq(loads_done),
                         unit.stores_done.eq(stores_done)]

        # Whatever a program does moves one of these, again and again, until it ends.
        failed = Signal()
        m.submodules.watchdog = watchdog = Watchdog(config.watchdog_cycles)
        drained = Signal.like(post.drain_address)
        memory = self.memory
        moves = Cat(
            *(port.valid & port.ready for port in (memory.read_request, memory.read_data, memory.write_request,
                                                   memory.write_data, memory.write_done)),
            builder.write.valid, sequencer.beat.valid, post.drain_address != drained, post.write.valid,
            post.layer_done)
        moved = Signal(len(moves))
        m.d.sync += [drained.eq(post.drain_address), moved.eq(moves)]
        m.d.comb += [
            watchdog.running.eq(dispatcher.busy),
            watchdog.progress.eq(moved.any()),
            dispatcher.expired.eq(watchdog.expired),
            dispatcher.halt.eq(failed),
        ]

        # The first error wins; of several known in one cycle, the one nearest to the cause.
        read_error, write_error, read_position = Signal(), Signal(), Signal.like(arbiter.position)
        mask_error, parameter_error = Signal(), Signal()
        segment_position, segment = Signal(POSITION_BITS), Signal(SEGMENT_BITS)
        m.d.sync += [
            read_error.eq(memory.read_data.valid & memory.read_data.ready & memory.read_error),
            write_error.eq(memory.write_done.valid & memory.write_done.ready & memory.write_error),
            read_position.eq(arbiter.position),
            mask_error.eq(mask_checker.error),
            parameter_error.eq(parameter_checker.error),
            # One beat comes in a cycle, so one checker at most knows something.
            segment_position.eq(Mux(mask_checker.known, mask_checker.position, parameter_checker.position)),
            segment.eq(Mux(mask_checker.known, mask_checker.segment, parameter_checker.segment)),
        ]
        errors = [
            (read_error, Error.BUS_READ, read_position, 0),
            (write_error, Error.BUS_WRITE, store.position, 0),
            (mask_error, Error.MASK_CRC, segment_position, segment),
            (parameter_error, Error.PARAMETER_CRC, segment_position, segment),
            (decoder.error != Error.NONE, decoder.error, error_position, 0),
            (dispatcher.error != Error.NONE, dispatcher.error, dispatcher.position, 0),
            (watchdog.expired & dispatcher.busy, Error.WATCHDOG, dispatcher.position, 0),
        ]
        with m.If(start):
            m.d.sync += [failed.eq(0), self.error.eq(Error.NONE), self.error_position.eq(0), self.error_segment.eq(0)]
        with m.Elif(~failed):
            m.d.sync += failed.eq(Cat(happened for happened, *_ in errors).any())
            for happened, error, position, number in reversed(errors):
                with m.If(happened):
                    m.d.sync += [self.error.eq(error), self.error_position.eq(position), self.error_segment.eq(number)]

        useful_macs = Signal(range(config.lanes * config.columns + 1))
        m.d.sync += useful_macs.eq(Mux(sequencer.beat.valid, sequencer.lanes_in_run * sequencer.columns_in_tile, 0))
        increments = {
            "cycles": dispatcher.busy,
            "beats": sequencer.beat.valid,
            "useful_macs": useful_macs,
            "stall_weights": sequencer.stall_weights & ~decoder.starved,
            "stall_memory": sequencer.stall_weights & decoder.starved,
            "stall_activations": sequencer.stall_activations,
            "stall_write_back": sequencer.stall_write_back,
            "stall_sums": sequencer.stall_sums,
            "stall_bank": sequencer.stall_bank,
            "stall_short": sequencer.stall_short,
            "residual_waits": post.residual_waits,
            "built_weights": builder.built_weights,
            "zero_weights": builder.zero_weights,
            "saturations": post.saturations,
        }
        beats = {**arrivals, "store": memory.write_data.valid & memory.write_data.ready}
        # What is known late in its cycle is counted a cycle later, before `done` rises.
        for name in increments:
            if name.startswith("stall_") or name in ("useful_macs", "residual_waits"):
                late = Signal.like(increments[name], name=f"{name}_counted")
                m.d.sync += late.eq(increments[name])
                increments[name] = late
        for name, beat in beats.items():
            late = Signal(name=f"{name}_beat_counted")
            m.d.sync += late.eq(beat)
            increments[f"{name}_bytes"] = Mux(late, config.bus_bytes, 0)
        for name, increment in increments.items():
            counter = getattr(self.counters, name)
            m.d.sync += counter.eq(Mux(start, 0, counter + increment))
        return m
