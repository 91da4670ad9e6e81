"""A naive engine: runs a program from its memory image alone, written from the specification and not from the compiler.

Activation memory begins as garbage. Operations are executed in program order, and every byte that two of them use is
checked for a race: the engine has a unit for loads, one for stores, one for the windows of layers and one that reads
residuals and writes outputs; each takes its operations in order, and nothing else is ordered but by waiting. So of two
operations that use a byte, one of them writing, the later one must know that the earlier one is done: by waiting for it
or for one that waited for it, or because its unit did.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from arch.config import EngineConfig
from arch.descriptor import BYTES, FIELDS, MAGIC, VERSION, Code, Opcode, PoolMode
from golden import stream

KINDS = ("load", "store", "layer")


def unpack(content: bytes) -> dict[str, int]:
    """All fields of one descriptor."""
    values = {}
    for name, place in FIELDS.items():
        word = int.from_bytes(content[4 * place.word:4 * place.word + 4], "little")
        value = word >> place.lsb & (1 << place.bits) - 1
        values[name] = value - (1 << place.bits) if place.signed and value >> place.bits - 1 else value
    return values


def descriptors(image: bytes, address: int) -> list[dict[str, int]]:
    """Every descriptor from BEGIN to END."""
    found = []
    while not found or found[-1]["opcode"] != Opcode.END:
        content = bytes(image[address:address + BYTES])
        found.append(unpack(content))
        assert found[-1]["crc"] == zlib.crc32(content[:-4])
        address += BYTES
    return found


def checked(memory: bytes, address: int, beats: int, beat: int) -> bytes:
    """The content of ``beats`` beats of segments."""
    content, left = b"", beats * beat
    while left:
        size = min(4096, left)
        part, checksum = memory[address:address + size - beat], memory[address + size - beat:address + size]
        assert bytes(checksum) == zlib.crc32(part).to_bytes(4, "little").ljust(beat, b"\0")
        content, address, left = content + bytes(part), address + size, left - size
    return content


class AnsTable:
    """Symbol, bits and base of every entry."""

    def __init__(self, frequencies: list[int], offset: int):
        symbols = [symbol for symbol, count in enumerate(frequencies) for _ in range(count)]
        owner = {(643 * number + 64 * offset) % 1024: symbol for number, symbol in enumerate(symbols)}
        rank = list(frequencies)
        self.entries = []
        for entry in range(1024):
            symbol = owner[entry]
            bits = 10 - (rank[symbol].bit_length() - 1)
            self.entries.append((symbol, bits, (rank[symbol] << bits) - 1024))
            rank[symbol] += 1


class _Lane:
    """One decoder lane: bits received and not consumed, low bit first, and how many were consumed."""

    def __init__(self):
        self.bits, self.held, self.consumed = 0, 0, 0
        self.state = None

    def take(self, count: int) -> int:
        assert count <= self.held, "a lane ran dry"
        value = self.bits & (1 << count) - 1
        self.bits, self.held, self.consumed = self.bits >> count, self.held - count, self.consumed + count
        return value

    def symbol(self, code: int, size: int, table: AnsTable | None) -> int:
        if code == Code.ANS:
            symbol, bits, base = table.entries[self.state]
            self.state = base + self.take(bits)
            return symbol
        if code != Code.UNARY:
            return self.take(size)
        index = 0
        while index < size and self.take(1):
            index += 1
        return index


@dataclass
class Decoded:
    """Symbols (out, ky, run position) of a layer; words handed out before each column tile and at the end."""

    symbols: np.ndarray
    tile_words: list[int]


def decode(words: list[int], *, code: int, size: int, out: int, kernel: int, run: int, config: EngineConfig,
           table: AnsTable | None = None) -> Decoded:
    """Decode a mask stream one symbol at a time, as the specification words it."""
    columns, chunk, build = config.columns, config.lanes, config.build_columns
    lanes = [_Lane() for _ in range(config.decoder_lanes)]
    used = [lane for lane in range(len(lanes)) if lane % chunk < min(chunk, run)]
    real = [0] * len(lanes)
    handed = 0

    def request(number: int):
        nonlocal handed
        word = words[handed] if handed < len(words) else 0
        real[number] += 16 * (handed < len(words))
        handed += 1
        lanes[number].bits |= word << lanes[number].held
        lanes[number].held += 16

    for _ in range(2):
        for number in used:
            request(number)
    if code == Code.ANS:
        for number in used:
            lanes[number].state = lanes[number].take(10)
    symbols = np.zeros((out, kernel, run), np.int64)
    tile_words = []
    for tile in range(0, out, columns):
        tile_words.append(min(handed, len(words)))
        for ky in range(kernel):
            for first in range(0, run, chunk):
                for group in range(tile, min(tile + columns, out), build):
                    before = [lane.consumed for lane in lanes]
                    for row in range(group, min(group + build, out, tile + columns)):
                        for place in range(first, min(first + chunk, run)):
                            lane = lanes[(row - group) * chunk + place - first]
                            symbols[row, ky, place] = lane.symbol(code, size, table)
                    for number, lane in enumerate(lanes):
                        if lane.consumed // 16 > before[number] // 16:
                            request(number)
    assert handed >= len(words), f"{len(words) - handed} stored words are left over"
    assert all(lane.consumed <= bits for lane, bits in zip(lanes, real)), "bits from beyond the stored words"
    return Decoded(symbols, [*tile_words, min(handed, len(words))])


@dataclass
class Run:
    """What a program did: memory afterwards, and of every layer its descriptor, tensor bytes and mask words."""

    memory: bytearray
    layers: list[dict[str, int]] = field(default_factory=list)
    #: Bytes at the layer's output address when it was complete.
    outputs: list[np.ndarray] = field(default_factory=list)
    tile_words: list[list[int]] = field(default_factory=list)


class _Users:
    """For every byte of a memory, the last operation of each kind that read it and that wrote it, -1 for none."""

    def __init__(self, size: int):
        self.read, self.written = ({kind: np.full(size, -1, np.int16) for kind in KINDS} for _ in range(2))

    def check(self, place, known: dict[str, int], *, writes: bool):
        """Whoever used the bytes before is among the ``known`` first operations of its kind."""
        for kind in KINDS:
            assert self.written[kind][place].max(initial=-1) < known[kind], f"written by a {kind} that may not be done"
            if writes:
                assert self.read[kind][place].max(initial=-1) < known[kind], f"read by a {kind} that may not be done"


class Machine:
    """Executes one program on one memory image."""

    def __init__(self, image: bytes, config: EngineConfig):
        self.config = config
        self.run_state = Run(bytearray(image))
        self.activations = np.random.default_rng(0).integers(-128, 128, config.activation_bytes, np.int8)
        self.chip, self.memory = _Users(config.activation_bytes), _Users(len(image))
        #: What each operation of a kind knows to be done when it is done, and what each unit last knew.
        self.done = {kind: [] for kind in KINDS}
        self.units = {unit: dict.fromkeys(KINDS, 0) for unit in (*KINDS, "post")}
        #: The last layer's mask stream and parameters, if they stay.
        self.kept_masks = self.kept_parameters = None

    def execute(self, address: int) -> Run:
        """Run the program at ``address``."""
        begin, *program = descriptors(self.run_state.memory, address)
        assert (begin["opcode"], begin["magic"], begin["version"]) == (Opcode.BEGIN, MAGIC, VERSION)
        assert begin["configuration"] == self.config.hash
        self.seed = begin["seed_low"] | begin["seed_high"] << 32
        for operation in program[:-1]:
            obey = {Opcode.LOAD: self._load, Opcode.LAYER: self._layer, Opcode.STORE: self._store}
            obey[operation["opcode"]](operation)
        assert self.kept_masks is None and self.kept_parameters is None
        return self.run_state

    def _begin(self, unit: str, operation: dict[str, int]) -> dict[str, int]:
        """The unit takes an operation: what is known to be done then."""
        known = self.units[unit]
        for kind, count in ("load", operation["wait_loads"]), ("store", operation["wait_stores"]), (
                "layer", operation["wait_layers"]):
            assert count <= len(self.done[kind]), "waits for what comes later"
            if count:
                self._learn(known, self.done[kind][count - 1])
        return known

    @staticmethod
    def _learn(known: dict[str, int], more: dict[str, int]):
        for kind in KINDS:
            known[kind] = max(known[kind], more[kind])

    def _end(self, kind: str, known: dict[str, int]):
        """An operation is done; those of its kind are done in order."""
        known[kind] = len(self.done[kind]) + 1
        self.done[kind].append(dict(known))

    def _transfer(self, operation: dict[str, int]) -> tuple[slice, np.ndarray]:
        beat, size = self.config.bus_bytes, operation["beats"] * self.config.bus_bytes
        memory, local = operation["memory_address"], operation["activation_address"]
        assert memory % beat == 0 and local % beat == 0 and 0 < size <= self.activations.size
        assert local < self.activations.size
        return slice(memory, memory + size), self._wrapped(local, size)

    def _wrapped(self, address: int, size: int) -> np.ndarray:
        return np.arange(address, address + size) % self.activations.size

    def _load(self, operation: dict[str, int]):
        known, number = self._begin("load", operation), len(self.done["load"])
        # The unit takes a load when all beats of the one before are written.
        known["load"] = number
        memory, local = self._transfer(operation)
        self.memory.check(memory, known, writes=False)
        self.chip.check(local, known, writes=True)
        self._copy_in(memory, local)
        self.memory.read["load"][memory] = self.chip.written["load"][local] = number
        self._end("load", known)

    def _copy_in(self, memory: slice, local: np.ndarray):
        self.activations[local] = np.frombuffer(bytes(self.run_state.memory[memory]), np.int8)

    def _copy_out(self, memory: slice, local: np.ndarray):
        self.run_state.memory[memory] = self.activations[local].tobytes()

    def _store(self, operation: dict[str, int]):
        known, number = self._begin("store", operation), len(self.done["store"])
        known["store"] = number
        memory, local = self._transfer(operation)
        self.chip.check(local, known, writes=False)
        self.memory.check(memory, known, writes=True)
        self._copy_out(memory, local)
        self.chip.read["store"][local] = self.memory.written["store"][memory] = number
        self._end("store", known)

    def _weights(self, layer: dict[str, int]) -> np.ndarray:
        """Signed weights (out, ky * run) of a layer."""
        beat, content = self.config.bus_bytes, self.kept_masks
        assert (content is not None) == bool(layer["mask_reuse"])
        if content is None:
            content = checked(self.run_state.memory, layer["mask_address"], layer["mask_beats"], beat)
        else:
            assert layer["mask_beats"] == 0
        self.kept_masks = None
        if layer["mask_keep"]:
            assert len(content) // beat <= self.config.mask_bytes // beat - (self.config.burst_beats - 1)
            self.kept_masks = content
        words = np.frombuffer(content[:2 * layer["mask_words"]], "<u2").tolist()
        frequencies = [layer[f"frequency_{index}"] for index in range(1, 8)]
        table = AnsTable([1024 - sum(frequencies), *frequencies], layer["ans_offset"])
        out, kernel, run = layer["out_channels"], layer["kernel_rows"], layer["run_bytes"]
        decoded = decode(words, code=layer["code"], size=layer["symbol_bits"], out=out, kernel=kernel, run=run,
                         config=self.config, table=table if layer["code"] == Code.ANS else None)
        self.run_state.tile_words.append(decoded.tile_words)
        if layer["code"] == Code.STORED:
            weights = decoded.symbols - ((decoded.symbols >> layer["symbol_bits"] - 1) << layer["symbol_bits"])
        else:
            assert decoded.symbols.max() <= layer["coats"]
            table = np.frombuffer((layer["table_low"] | layer["table_high"] << 32).to_bytes(8, "little"), np.int8)
            signs = stream.signs(self.seed, layer["stream"], 0, out * kernel * layer["run_blocks"], self.config.rounds)
            weights = table[decoded.symbols] * signs.reshape(out, kernel, -1)[:, :, :run].astype(np.int64)
        limit = self.config.weight_limit
        assert -limit - (limit == 127) <= weights.min() and weights.max() <= limit
        return weights.reshape(out, -1)

    def _windows(self, layer: dict[str, int]) -> np.ndarray:
        """The activations (pixel, ky * run) that meet the weights."""
        pixel = np.arange(layer["pixels"])[:, None, None]
        ky, place = np.arange(layer["kernel_rows"])[:, None], np.arange(layer["run_bytes"])
        oy, ox = pixel // layer["map_width"], pixel % layer["map_width"]
        row = oy * layer["stride"] + ky - layer["pad_rows"]
        column = ox * layer["step_bytes"] + place - layer["pad_bytes"]
        address = (layer["input_address"] + oy * layer["row_step_bytes"] + (ky - layer["pad_rows"]) * layer["row_bytes"]
                   + column)
        inside = (row >= 0) & (row < layer["input_height"]) & (column >= 0) & (column < layer["row_bytes"])
        address %= self.activations.size
        self.windows = np.zeros(self.activations.size, bool)
        self.windows[address[inside]] = True
        windows = np.where(inside, self.activations[address], layer["pad_value"])
        return windows.reshape(layer["pixels"], -1).astype(np.int64)

    def _parameters(self, layer: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        def signed(value: int, bits: int) -> int:
            return (value & (1 << bits) - 1) - ((value >> bits - 1 & 1) << bits)

        content = self.parameters
        records = [int.from_bytes(content[9 * index:9 * index + 9], "little") for index in range(layer["out_channels"])]
        assert all(record >> 66 == 0 for record in records)
        return (np.array([signed(record, 18) for record in records]),
                np.array([signed(record >> 18, 48) for record in records]))

    def _layer(self, layer: dict[str, int]):
        config, number = self.config, len(self.run_state.layers)
        assert layer["pixels"] == layer["map_height"] * layer["map_width"]
        assert layer["tile_pixels"] <= config.partial_sums
        assert (layer["pixel_tiles"] - 1) * layer["tile_pixels"] < layer["pixels"] <= (
            layer["pixel_tiles"] * layer["tile_pixels"])
        assert (layer["column_tiles"] - 1) * config.columns < layer["out_channels"] <= (
            layer["column_tiles"] * config.columns)
        assert layer["run_chunks"] == -(-layer["run_bytes"] // config.lanes)
        known = self._begin("layer", layer)
        sums = self._windows(layer) @ self._weights(layer).T
        assert sums.min() >= -1 << config.accumulator_bits - 1 and sums.max() < 1 << config.accumulator_bits - 1
        self.chip.check(self.windows, known, writes=False)
        self._fetch_parameters(layer)
        self.written, self.residuals = (np.zeros(self.activations.size, bool) for _ in range(2))
        for first in range(0, layer["out_channels"], config.columns):
            tile = slice(first, min(first + config.columns, layer["out_channels"]))
            self._post_process(layer, sums[:, tile], tile)
        # The post-processor takes a layer when the one before is done, and writes behind the layer's own windows, but
        # later tiles still read their windows while the first ones are written.
        post = self.units["post"]
        self._learn(post, known)
        post["layer"] = number
        assert not (self.written & self.windows).any()
        self.chip.check(self.residuals, post, writes=False)
        self.chip.check(self.written, post, writes=True)
        self.chip.read["layer"][self.windows | self.residuals] = number
        self.chip.written["layer"][self.written] = number
        self._end("layer", post)
        self.run_state.layers.append(layer)
        output = self._wrapped(layer["output_address"], np.count_nonzero(self.written))
        assert self.written[output].all(), "output is not one piece"
        self.run_state.outputs.append(self.activations[output])

    def _fetch_parameters(self, layer: dict[str, int]):
        config, beat = self.config, self.config.bus_bytes
        content = self.kept_parameters
        assert (content is not None) == bool(layer["parameter_reuse"])
        if content is None:
            content = checked(self.run_state.memory, layer["parameter_address"], layer["parameter_beats"], beat)
        else:
            assert layer["parameter_beats"] == 0
        self.parameters, self.kept_parameters = content, None
        if layer["parameter_keep"]:
            burst = -(-config.burst_beats * beat // 9)
            assert layer["out_channels"] <= config.parameter_channels - config.columns - burst
            self.kept_parameters = content

    def _write(self, address: int, values: np.ndarray):
        raw = values.view(np.int8)
        place = self._wrapped(address, raw.size)
        self.activations[place] = raw
        self.written[place] = True

    def _post_process(self, layer: dict[str, int], sums: np.ndarray, tile: slice):
        multiplier, bias = (values[tile] for values in self._parameters(layer))
        channels, count = layer["out_channels"], tile.stop - tile.start
        half = 1 << layer["shift"] - 1 if layer["shift"] else 0
        average = np.zeros(count, np.int64)
        for pixel, accumulators in enumerate(sums):
            total = accumulators * multiplier + bias + half
            if layer["residual"]:
                source = self._wrapped(layer["residual_address"] + pixel * channels + tile.start, count)
                self.residuals[source] = True
                total += self.activations[source].astype(np.int64) * layer["residual_multiplier"]
            assert total.min() >= -1 << 47 and total.max() < 1 << 47
            total >>= layer["shift"]
            place = layer["output_address"] + tile.start
            if layer["wide"]:
                self._write(layer["output_address"] + 4 * (pixel * channels + tile.start),
                            np.clip(total, -1 << 31, (1 << 31) - 1).astype("<i4"))
            else:
                values = np.clip(total, layer["clamp_low"], 127).astype(np.int8)
                if layer["pool"] == PoolMode.NONE:
                    self._write(place + pixel * channels, values)
                elif layer["pool"] == PoolMode.MAX:
                    self._pool(layer, pixel, place, values)
                average += values
        if layer["pool"] == PoolMode.AVERAGE:
            shift = layer["pool_shift"]
            self._write(place, np.clip((average * layer["pool_multiplier"] + (1 << shift - 1)) >> shift,
                                       -128, 127).astype(np.int8))

    def _pool(self, layer: dict[str, int], pixel: int, place: int, values: np.ndarray):
        """Update every pooled pixel whose window holds ``pixel``; the first to touch it writes without reading."""
        kernel, stride, padding = (layer[name] for name in ("pool_kernel", "pool_stride", "pool_padding"))
        above = layer["pool_row_padding"]
        oy, ox = divmod(pixel, layer["map_width"])
        targets = [(py, px) for py in range(layer["pool_height"]) for px in range(layer["pool_width"])
                   if 0 <= oy - py * stride + above < kernel and 0 <= ox - px * stride + padding < kernel]
        assert len(targets) <= 4
        for py, px in targets:
            address = place + py * layer["pool_row_bytes"] + px * layer["out_channels"]
            there = self._wrapped(address, values.size)
            if not self.written[there[0]]:
                self._write(address, values)
            else:
                self._write(address, np.maximum(self.activations[there], values))
