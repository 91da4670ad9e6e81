"""An engine that tests itself: a program in block RAM, its results compared, the verdict on a LED and a serial line."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import Out

from arch.config import EngineConfig
from hw.block_memory import BlockMemory, beats
from hw.crc import CRC_BITS, INITIAL, Crc32
from hw.engine import Engine
from hw.uart import UartTransmitter

__all__ = ["SelfTest"]

CYCLE_BITS, CYCLE_DIGITS = 32, 10
"""Of the number of cycles, as it is counted and as it is told."""


def _hexadecimal(nibble: Value) -> Value:
    """The character of four bits."""
    return nibble + Mux(nibble < 10, ord("0"), ord("a") - 10)


class SelfTest(wiring.Component):
    """An engine, a memory with a program, and what runs and judges it.

    Operation: after reset the program is started, once. When it is done, the results are read from memory and compared,
    beat by beat, with those that are ``expected``. The test has passed if all are equal and the engine reported no
    error; it has failed if not, or if the program takes a second. Then ``led`` is steady (passed) or blinks once a
    second (failed), and this line leaves ``uart`` at once and then every second, 115,200 baud, 8N1:

        topcoat NAME: PASS cycles=0000008562 crc=0123abcd error=0

    with PASS or FAIL, the configuration's name, the engine's counter ``cycles`` in decimal, the CRC-32 of the results
    and ``arch.descriptor.Error`` in hexadecimal. After an error, or without an end, results are not read: the checksum
    is 0. ``alive`` blinks once a second from the beginning, whatever the engine does.

    Parameters
    ----------
    content : bytes
        Of the memory, in whole beats: program, masks, parameters, input, and room for all that is written.
    program_address, output_address : int
        Of the first descriptor and of the results.
    expected : bytes
        The results, in whole beats.
    clock_hz : int
        Of the clock, in cycles per second: :class:`~hw.uart.UartTransmitter` says which can be.
    """

    def __init__(self, config: EngineConfig, *, content: bytes, program_address: int, output_address: int,
                 expected: bytes, clock_hz: int, emit: bool = False):
        if output_address + len(expected) > len(content):
            raise ValueError(f"results must be inside of {len(content)} bytes of memory, "
                             f"not end at {output_address + len(expected)}")
        self.config = config
        self._program_address = program_address
        self._output_address = output_address
        self._expected = beats(config, expected)
        self._clock_hz = clock_hz
        self._memory = BlockMemory(config, content)
        self._engine = Engine(config, emit=emit)
        self._uart = UartTransmitter(clock_hz)
        super().__init__({
            #: Dark while the test runs, then its verdict.
            "led": Out(1),
            #: The clock runs.
            "alive": Out(1),
            #: The serial line.
            "uart": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.engine = engine = self._engine
        m.submodules.memory = storage = self._memory
        m.submodules.uart = uart = self._uart
        m.submodules.crc = crc = Crc32(config.bus_bits)
        m.submodules.expected = expected = memory.Memory(shape=config.bus_bits, depth=len(self._expected),
                                                         init=self._expected)
        should_be = expected.read_port()

        second = Signal(range(self._clock_hz))
        tick = second == self._clock_hz - 1
        m.d.sync += second.eq(Mux(tick, 0, second + 1))

        failed, judged = Signal(), Signal()
        index = Signal(range(len(self._expected)))
        checksum = Signal(CRC_BITS, init=INITIAL)
        request, result = storage.memory.read_request, storage.memory.read_data
        first_half = second < self._clock_hz // 2
        m.d.comb += [
            engine.program_address.eq(self._program_address),
            should_be.addr.eq(index),
            crc.state.eq(checksum),
            crc.beat.eq(result.payload),
            self.led.eq(judged & (~failed | first_half)),
            self.alive.eq(first_half),
            self.uart.eq(uart.line),
        ]

        cycles, digits = Signal(CYCLE_BITS), Signal(data.ArrayLayout(4, CYCLE_DIGITS))
        bit = Signal(range(CYCLE_BITS))

        number = [ord("0") + digits[place] for place in reversed(range(CYCLE_DIGITS))]
        sums = [_hexadecimal(~checksum[place:place + 4]) for place in reversed(range(0, CRC_BITS, 4))]
        verdict = [Mux(failed, fail, passed) for fail, passed in zip(b"FAIL", b"PASS")]
        line = Array([*f"topcoat {config.name}: ".encode(), *verdict, *b" cycles=", *number, *b" crc=", *sums,
                      *b" error=", _hexadecimal(engine.error), *b"\r\n"])
        position = Signal(range(len(line)))
        m.d.comb += uart.bytes.payload.eq(line[position])

        with m.FSM() as fsm:
            with m.State("START"):
                m.d.comb += engine.start.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(engine.done):
                    m.d.sync += [cycles.eq(engine.counters.cycles), failed.eq(engine.error != 0)]
                    m.next = "CONVERT"
                    with m.If(engine.error == 0):
                        m.next = "ASK"
                with m.Elif(tick):
                    m.d.sync += failed.eq(1)
                    m.next = "CONVERT"
            with m.State("ASK"):
                with m.If(request.ready):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                with m.If(result.valid):
                    m.d.sync += [checksum.eq(crc.next), index.eq(index + 1)]
                    with m.If(storage.memory.read_error | (result.payload != should_be.data)):
                        m.d.sync += failed.eq(1)
                    m.next = "ASK"
                    with m.If(index == len(self._expected) - 1):
                        m.next = "CONVERT"
            # To decimal: doubled with every bit, after digits from 5 on have had 3 added.
            with m.State("CONVERT"):
                m.d.sync += [
                    cycles.eq(cycles << 1),
                    digits.eq(Cat(cycles[-1], *(Mux(digit >= 5, digit + 3, digit)[:4] for digit in digits))),
                    bit.eq(bit + 1),
                ]
                with m.If(bit == CYCLE_BITS - 1):
                    m.d.sync += judged.eq(1)
                    m.next = "SEND"
            with m.State("WAIT"):
                with m.If(tick):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += uart.bytes.valid.eq(1)
                with m.If(uart.bytes.ready):
                    m.d.sync += position.eq(position + 1)
                    with m.If(position == len(line) - 1):
                        m.d.sync += position.eq(0)
                        m.next = "WAIT"

        # The engine alone writes. The comparison reads when the engine is done and asks for nothing.
        for name in "write_request", "write_data":
            wiring.connect(m, getattr(engine.memory, name), getattr(storage.memory, name))
        wiring.connect(m, storage.memory.write_done, engine.memory.write_done)
        asks, compares = fsm.ongoing("ASK"), fsm.ongoing("COMPARE")
        judges = asks | compares
        asked, answer = engine.memory.read_request, engine.memory.read_data
        m.d.comb += [
            request.valid.eq(Mux(judges, asks, asked.valid)),
            request.payload.address.eq(
                Mux(judges, self._output_address + index * config.bus_bytes, asked.payload.address)),
            request.payload.beats.eq(Mux(judges, 1, asked.payload.beats)),
            asked.ready.eq(request.ready & ~judges),
            result.ready.eq(Mux(judges, compares, answer.ready)),
            answer.valid.eq(result.valid & ~judges),
            answer.payload.eq(result.payload),
            engine.memory.read_error.eq(storage.memory.read_error),
            engine.memory.write_error.eq(storage.memory.write_error),
        ]
        return m
