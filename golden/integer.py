"""The integer model: what the engine computes, bit for bit, and the reference every other implementation is held to.

Tensors are int8 of shape (images, height, width, channels), as the engine stores them; a wide layer's is int32.
Source: docs/specification.md, "Arithmetic".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from arch.config import ANS_OFFSETS, MAX_COATS
from golden import ans, arithmetic, stream
from golden.codes import CODES, symbol_bits
from golden.topology import IMAGE, Layer, Topology

MULTIPLIER_BITS = 18
SUM_BITS = 48
MAX_SHIFT = 47

_CHUNK_BYTES = 16 << 20


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest signed integer of ``bits`` bits."""
    return -(1 << bits - 1), (1 << bits - 1) - 1


def images_from_uint8(images: np.ndarray) -> np.ndarray:
    """Stored form of pixels: uint8 (n, c, h, w) to int8 (n, h, w, c), pixel - 128."""
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images must be uint8 (n, c, h, w), not {images.dtype} {images.shape}")
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) ^ 0x80).view(np.int8)


def canonical_signs(layer: Layer, seed: int, rounds: int) -> np.ndarray:
    """Signs of a layer's weights from its stream: int8 (out, ky, kx, c), +1 or -1."""
    return stream.weight_signs(seed, layer.stream, layer.out_channels, layer.kernel, layer.kernel, layer.in_channels,
                               rounds)


def kept_counts(indices: np.ndarray, coats: int) -> tuple[int, ...]:
    """Weights with coat index >= 1, >= 2, .., >= ``coats``."""
    counts = np.bincount(indices.ravel(), minlength=coats + 1)
    return tuple(int(counts[coat:].sum()) for coat in range(1, coats + 1))


def weight_sums(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the positive and sum of the negative weights of every output channel, int64 (out,)."""
    rows = weights.reshape(len(weights), -1)
    return (np.maximum(rows, 0).sum(1, dtype=np.int64), np.minimum(rows, 0).sum(1, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer in integers.

    Exactly one of ``indices`` (uint8 coat indices, for code "raw", "unary" or "ans") and ``stored`` (int8 weights) is
    given, of shape (out, ky, kx, c). ``symbol_bits`` is the width of a raw index, a stored weight or an `ans` state,
    the number of coats for "unary". ``multiplier`` int32 and ``bias`` int64 have one entry per output channel. ``low``
    is the lower clamp. ``densities`` are the kept fractions asked for, ``kept`` the weights with index >= 1, >= 2, ...
    ``frequencies`` (of index 0, 1, .., N) and ``offset`` define the table of code "ans"; other codes have none.
    """

    layer: Layer
    code: str
    indices: np.ndarray | None
    stored: np.ndarray | None
    table: tuple[int, ...]
    symbol_bits: int
    multiplier: np.ndarray
    bias: np.ndarray
    residual_multiplier: int
    shift: int
    low: int
    offset_input: bool
    offset_output: bool
    pool_multiplier: int = 0
    pool_shift: int = 0
    densities: tuple[float, ...] = ()
    kept: tuple[int, ...] = ()
    frequencies: tuple[int, ...] = ()
    offset: int = 0

    def __post_init__(self):
        self._check_fields()
        self._check_symbols()
        for name, dtype, bits in (("multiplier", np.int32, MULTIPLIER_BITS), ("bias", np.int64, SUM_BITS)):
            array, shape = getattr(self, name), (self.layer.out_channels,)
            self._require(array.dtype == dtype and array.shape == shape, name,
                          f"{np.dtype(dtype)} of shape {shape}", f"{array.dtype} of shape {array.shape}")
            self._require_range(array, *signed_range(bits), name)

    def _require(self, condition: bool, field: str, expected: str, value):
        if not condition:
            raise ValueError(f"layer {self.layer.name}: {field} must be {expected}, not {value}")

    def _require_range(self, array: np.ndarray, low: int, high: int, field: str):
        smallest, largest = int(array.min()), int(array.max())
        self._require(low <= smallest and largest <= high, field, f"in {low}..{high}", f"{smallest}..{largest}")

    def _check_fields(self):
        pool = self.layer.pool
        multipliers = signed_range(MULTIPLIER_BITS)
        average = pool is not None and pool.kind == "average"
        limits = {"residual_multiplier": multipliers, "shift": (0, MAX_SHIFT), "pool_multiplier": multipliers,
                  "pool_shift": (1, MAX_SHIFT) if average else (0, 0)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            self._require(type(value) is int and low <= value <= high, name, f"an integer in {low}..{high}",
                          repr(value))
        self._require(self.low in (-128, 0), "low", "-128 or 0", repr(self.low))
        for name in ("offset_input", "offset_output"):
            self._require(type(getattr(self, name)) is bool, name, "True or False", repr(getattr(self, name)))
        self._require(not (self.layer.wide and pool), "pool", "absent from a wide layer", pool)

    def _check_symbols(self):
        self._require(self.code in CODES, "code", f"one of {CODES}", repr(self.code))
        if self.code != "ans":
            self._require(self.frequencies == (), "frequencies", f"empty for code {self.code!r}", self.frequencies)
            self._require(self.offset == 0, "offset", f"0 for code {self.code!r}", self.offset)
        stored = self.code == "stored"
        field, other, dtype = ("stored", "indices", np.int8) if stored else ("indices", "stored", np.uint8)
        symbols, layer = getattr(self, field), self.layer
        self._require(getattr(self, other) is None, other, f"None for code {self.code!r}", "given")
        self._require(symbols is not None, field, f"given for code {self.code!r}", "None")
        shape = (layer.out_channels, layer.kernel, layer.kernel, layer.in_channels)
        self._require(symbols.dtype == dtype and symbols.shape == shape, field,
                      f"{np.dtype(dtype)} of shape {shape}", f"{symbols.dtype} of shape {symbols.shape}")
        if stored:
            self._require(self.symbol_bits in (2, 4, 8), "symbol_bits", "2, 4 or 8", repr(self.symbol_bits))
            self._require(self.table == (), "table", "empty for stored weights", self.table)
            self._require_range(symbols, *signed_range(self.symbol_bits), field)
            return
        coats = self.coats
        valid = 1 <= coats <= MAX_COATS and all(type(entry) is int and -127 <= entry <= 127 for entry in self.table)
        self._require(valid, "table", f"2 to {MAX_COATS + 1} integers in -127..127", self.table)
        bits = symbol_bits(self.code, coats)
        self._require(self.symbol_bits == bits, "symbol_bits", f"{bits} for {coats} coats", repr(self.symbol_bits))
        self._require_range(symbols, 0, coats, field)
        if self.code == "ans":
            self._check_table()

    def _check_table(self):
        self._require(ans.valid_frequencies(self.frequencies, self.coats + 1), "frequencies",
                      ans.frequencies_text(self.coats), self.frequencies)
        counts = np.bincount(self.indices.ravel(), minlength=self.coats + 1)
        self._require(all(frequency for frequency, count in zip(self.frequencies, counts) if count),
                      "frequencies", "at least 1 for every coat index that occurs", self.frequencies)
        self._require(ans.valid_offset(self.offset), "offset", f"an integer in 0..{ANS_OFFSETS - 1}",
                      repr(self.offset))

    @property
    def pad_value(self) -> int:
        """Stored value outside the map: what stands for 0."""
        return -128 if self.offset_input else 0

    @property
    def coats(self) -> int:
        """Number of coats; 0 for stored weights."""
        return max(len(self.table) - 1, 0)


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A network in integers: the layers of ``topology`` in its order, and the seed their signs come from.

    Raises ValueError, naming the layer, if layers do not fit each other or a requantiser's sum could leave 48 bits.
    """

    topology: Topology
    seed: int
    rounds: int
    layers: tuple[IntegerLayer, ...]
    convention: str
    provenance: dict = field(default_factory=dict)
    _weights: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        name = self.topology.name
        if tuple(layer.layer for layer in self.layers) != self.topology.layers:
            raise ValueError(f"network {name}: layers must be those of its topology, in its order")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 64:
            raise ValueError(f"network {name}: seed must be an unsigned 64-bit integer, not {self.seed!r}")
        if self.rounds not in stream.ROUNDS:
            raise ValueError(f"network {name}: rounds must be one of {stream.ROUNDS}, not {self.rounds!r}")
        offsets = {IMAGE: True}
        wide = set()
        for layer in self.layers:
            name = layer.layer.name
            for source in (layer.layer.input, layer.layer.residual):
                if source in wide:
                    raise ValueError(f"layer {name}: reads {source}, which is wide")
            if layer.offset_input != offsets[layer.layer.input]:
                raise ValueError(f"layer {name}: offset_input must be {offsets[layer.layer.input]} like the tensor "
                                 f"{layer.layer.input}, not {layer.offset_input}")
            offsets[name] = layer.offset_output
            if layer.layer.wide:
                wide.add(name)
        self._check_sums()

    def _check_sums(self):
        """Refuse a network whose requantisation or average pool could leave 48 bits for some input."""
        low, high = signed_range(SUM_BITS)
        shapes = self.topology.shapes()
        for number, layer in enumerate(self.layers):
            smallest, largest = self._channel_bounds(number)
            products = np.stack([smallest, largest]) * layer.multiplier.astype(np.int64)
            residuals = (0,) if layer.layer.residual is None else np.array((-128, 127)) * layer.residual_multiplier
            fixed = layer.bias + arithmetic.half(layer.shift)
            least, most = products.min(0) + min(residuals) + fixed, products.max(0) + max(residuals) + fixed
            if least.min() < low or most.max() > high:
                raise ValueError(f"layer {layer.layer.name}: acc * m + r * m_res + b can leave {SUM_BITS} bits")
            if layer.pool_shift:
                height, width = layer.layer.map_size(*shapes[layer.layer.input][1:])
                if height * width * 128 * abs(layer.pool_multiplier) + (1 << layer.pool_shift - 1) > high:
                    raise ValueError(f"layer {layer.layer.name}: the average pool can leave {SUM_BITS} bits")

    def weights(self, index: int) -> np.ndarray:
        """Signed weights of layer number ``index``: int8 (out, ky, kx, c). Kept, so do not write to it."""
        if index not in self._weights:
            layer = self.layers[index]
            if layer.code == "stored":
                weights = layer.stored
            else:
                signs = canonical_signs(layer.layer, self.seed, self.rounds)
                weights = (signs * np.array(layer.table, np.int16)[layer.indices]).astype(np.int8)
            self._weights[index] = weights
        return self._weights[index]

    def _channel_bounds(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        positive, negative = weight_sums(self.weights(index))
        return 127 * negative - 128 * positive, 127 * positive - 128 * negative

    def accumulator_bounds(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest sum of every layer, by name, over all int8 inputs. Partial sums stay inside as well."""
        bounds = {}
        for number, layer in enumerate(self.layers):
            smallest, largest = self._channel_bounds(number)
            bounds[layer.layer.name] = int(smallest.min()), int(largest.max())
        return bounds

    def _run_layer(self, index: int, tensors: dict[str, np.ndarray]) -> np.ndarray:
        layer = self.layers[index]
        shape = layer.layer
        sums = arithmetic.convolve(tensors[shape.input], self.weights(index), stride=shape.stride,
                                   padding=shape.padding, pad_value=layer.pad_value)
        residual = None if shape.residual is None else tensors[shape.residual]
        values = arithmetic.requantise(
            sums, multiplier=layer.multiplier, bias=layer.bias, shift=layer.shift, residual=residual,
            residual_multiplier=layer.residual_multiplier,
            clamp=arithmetic.INT32 if shape.wide else (layer.low, arithmetic.INT8[1]))
        values = values.astype(np.int32 if shape.wide else np.int8)
        if shape.pool is None:
            return values
        if shape.pool.kind == "max":
            return arithmetic.max_pool(values, shape.pool)
        return arithmetic.average_pool(values, layer.pool_multiplier, layer.pool_shift)

    def _chunks(self, images: np.ndarray):
        """Every tensor by name, for a few images at a time."""
        channels, height, width = self.topology.input_shape
        if images.dtype != np.int8 or images.shape[1:] != (height, width, channels):
            raise ValueError(f"images must be int8 (n, {height}, {width}, {channels}), "
                             f"not {images.dtype} {images.shape}")
        shapes = self.topology.shapes()
        largest = max(layer.out_channels * np.prod(layer.map_size(*shapes[layer.input][1:]))
                      for layer in self.topology.layers)
        count = max(1, _CHUNK_BYTES // (8 * int(largest)))
        for first in range(0, len(images), count):
            tensors = {IMAGE: images[first:first + count]}
            for index, layer in enumerate(self.topology.layers):
                tensors[layer.name] = self._run_layer(index, tensors)
            yield tensors

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Every tensor by the name of the layer that writes it, and the image: (n, h, w, c), int8, int32 if wide.

        ``images`` is int8 (n, h, w, c), see :func:`images_from_uint8`.
        """
        chunks = list(self._chunks(images))
        return {name: np.concatenate([tensors[name] for tensors in chunks]) for name in self.topology.shapes()}

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """The last layer's tensor alone, which needs little memory however many ``images`` there are."""
        last = self.topology.layers[-1].name
        return np.concatenate([tensors[last] for tensors in self._chunks(images)])
