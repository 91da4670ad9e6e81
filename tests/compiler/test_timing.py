"""The timing model's parts by themselves; the whole is held against the engine in tests/engine/test_timing.py."""

import numpy as np
import pytest

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import Opcode
from compiler import compile_network
from compiler.masks import mask_streams
from compiler.timing import Memory, predict
from compiler.timing.kernel import Events, Kernel, Queue, Signal, Tape
from compiler.timing.memory import Rate, bursts, content_beats
from compiler.timing.requests import requests
from compiler.timing.work import memories
from hw.ans import AnsTable
from arch import latency
from tests.random_networks import random_network

TINY = EngineConfig.preset("tiny")


def descriptors(program) -> list[bytes]:
    start = program.program_address
    return [program.image[first:first + descriptor.BYTES]
            for first in range(start, start + program.descriptors * descriptor.BYTES, descriptor.BYTES)]


def prediction(network, config=TINY, **options):
    return compile_network(network, config).predict(**options)


def test_kernel_runs_processes_in_order_of_cycles():
    kernel, seen = Kernel(), []
    signal = Signal(kernel)

    def late():
        yield 7
        seen.append(("late", kernel.now))
        signal.notify()
        yield 9
        seen.append(("later", kernel.now))

    def waits():
        yield 20, signal
        seen.append(("signalled", kernel.now))
        yield 8, signal
        seen.append(("timed out", kernel.now))

    kernel.start(waits())
    kernel.start(late())
    kernel.run()
    assert seen == [("late", 7), ("signalled", 7), ("timed out", 8), ("later", 9)]


def test_queue_of_two():
    """An entry takes two cycles through an empty queue; a third one is written when the first has moved on."""
    kernel, seen = Kernel(), []
    queue = Queue(kernel, 2)

    def writer():
        for wanted in (10, 11, 12):
            cycle = max(wanted, (yield from queue.room()))
            queue.write(cycle)
            seen.append(("written", cycle))

    def reader():
        for number, wait in enumerate((5, 0, 0)):
            cycle = (yield from queue.visible(number)) + wait
            queue.take(cycle)
            seen.append(("taken", cycle))

    kernel.start(writer())
    kernel.start(reader())
    kernel.run()
    assert sorted(seen) == [("taken", 17), ("taken", 18), ("taken", 20),
                            ("written", 10), ("written", 12), ("written", 18)]


def test_events_before_the_first_one_are_at_cycle_zero():
    kernel, seen = Kernel(), []
    events = Events(kernel)

    def reader():
        seen.append((yield from events.get(-1)))
        seen.append((yield from events.get(0)))

    kernel.start(reader())
    kernel.run()
    assert seen == [0]
    events.post(5)
    kernel.run()
    assert seen == [0, 5]


def test_tape():
    tape = Tape()
    tape.add(0, 10, 2, lambda: [1, 2])
    tape.add(0, 15, 1, lambda: [4])
    assert [tape.at(cycle) for cycle in range(9, 17)] == [0, 1, 2, 0, 0, 0, 4, 0]
    assert tape.run(11) == ([2], 12)
    assert tape.run(12) == (None, 15)
    masks, end = tape.run(16)
    assert masks is None and end > 1 << 40


@pytest.mark.parametrize("rate", [(1, 1), (1, 2), (3, 5), (7, 9)])
def test_rate_against_the_memory_model(rate):
    """sim/memory.sv, edge by edge: credit comes, is bounded, and pays for a beat."""
    rng = np.random.default_rng(rate)
    wanted = np.cumsum(rng.choice([1, 1, 1, 2, 9], 200)).tolist()
    model, cycle, expected = Rate(Memory(rate=rate)), 1, []
    credit, limit = rate[0], sum(rate) - 1
    found, before = [], 0
    for want in wanted:
        before = max(before + 1, want)
        found.append(model.take(before))
        while cycle < before or credit < rate[1]:
            cycle += 1
            credit = min(limit, credit + rate[0])
        expected.append(cycle)
        credit -= rate[1]
        before = cycle
    assert found == expected


def test_bursts_stay_in_their_page():
    assert bursts(4096 - 3 * 8, 40, TINY) == [3, 16, 16, 5]


def test_content_beats():
    beats = content_beats(515, TINY)
    assert len(beats) == 515 and [number for number, content in enumerate(beats) if not content] == [511, 514]


def test_memories_of_a_run():
    """16 KiB in four banks of even and odd words of 8 bytes."""
    addresses = np.array([0, 1, 8, 4096, 4095, (16 << 10) - 1])
    assert memories(addresses, 8, TINY).tolist() == [0b1, 0b11, 0b10, 0b100, 0b110, 1 << 7 | 1]


def test_requests_against_lanes_one_by_one():
    rng = np.random.default_rng(5)
    steps, lanes, used, longest = 60, 6, np.array([0, 1, 2, 4]), 8
    part = rng.random((steps, lanes)) < .8
    part[:, [3, 5]] = False
    lengths = (rng.integers(0, longest + 1, (steps, lanes)) * part).astype(np.uint8)
    found = requests(lengths, part, used, longest, 10)

    words = {lane: [number, used.size + number] for number, lane in enumerate(used.tolist())}
    asked, consumed = 2 * used.size, dict.fromkeys(words, 10)
    for step in range(steps):
        assert found.asked[step] == asked
        takes = [lane for lane in words if part[step, lane]]
        assert found.current[step] == max(words[lane][consumed[lane] // 16] for lane in takes)
        assert found.following[step] == max((words[lane][consumed[lane] // 16 + 1] for lane in takes
                                             if consumed[lane] % 16 + longest >= 16), default=0)
        for lane in words:
            before, consumed[lane] = consumed[lane], consumed[lane] + int(lengths[step, lane])
            if consumed[lane] // 16 > before // 16:
                words[lane].append(asked)
                asked += 1
    assert found.asked[steps] == asked


def test_latencies_are_those_of_the_hardware():
    assert AnsTable.build_cycles == latency.ANS_TABLE


@pytest.mark.parametrize("seed", range(4))
def test_worse_memories_take_longer(seed):
    network = random_network(seed)
    cycles = [prediction(network, memory=Memory(latency=delay, rate=rate)).cycles
              for delay, rate in ((0, (1, 1)), (30, (1, 1)), (300, (1, 4)))]
    assert cycles == sorted(cycles) and cycles[0] < cycles[2]


def test_operations_follow_each_other():
    result = prediction(random_network(3, layers=3))
    assert len(result.starts) == 3 and list(result.starts) == sorted(result.starts)
    assert result.starts[0] + sum(result.operations) == result.cycles


def test_a_program_that_waits_for_ever_is_refused():
    network = random_network(1, layers=2)
    program = descriptors(compile_network(network, TINY))
    kinds = [descriptor.unpack(one)["opcode"] for one in program]
    fields = descriptor.unpack(program[kinds.index(Opcode.LAYER)])
    program[kinds.index(Opcode.LAYER)] = descriptor.pack(**{**fields, "crc": 0, "wait_loads": 99})
    streams = mask_streams(network.layers, TINY)
    with pytest.raises(ValueError, match=r"program never ends: 0 of \d+ layers do"):
        predict(TINY, program, [stream.requests for stream in streams])
