"""Small random integer networks that use everything an engine can do, deterministic from a seed.

Shared by the tests of the compiler, the hardware and the simulation. Multipliers and biases are drawn for the
activations they meet, so that outputs spread over the whole range and some saturate.
"""

from __future__ import annotations

import numpy as np

from arch.config import ANS_OFFSETS, EngineConfig
from golden import arithmetic, stream
from golden.integer import IntegerLayer, IntegerNetwork
from golden.recode import code_fields
from golden.topology import IMAGE, Layer, Pool, Topology

MAX_POOLS = ((2, 2, 0), (3, 2, 1), (3, 2, 0), (2, 1, 0), (3, 3, 1), (4, 2, 1))
"""(kernel, stride, padding)."""

TENSOR_BYTES = 2048
"""Largest tensor, so that all that are alive fit the smallest preset."""


def random_image(network: IntegerNetwork, seed: int) -> np.ndarray:
    """An image as the engine stores it: int8 (height, width, channels)."""
    channels, height, width = network.topology.input_shape
    return np.random.default_rng([seed, 1]).integers(-128, 128, (height, width, channels), np.int8)


def _draw_pool(rng: np.random.Generator, size: tuple[int, int]) -> Pool | None:
    if rng.random() < .15:
        return Pool(kind="average")
    if rng.random() < .5:
        return None
    kernel, stride, padding = MAX_POOLS[rng.integers(len(MAX_POOLS))]
    pool = Pool(kind="max", kernel=kernel, stride=stride, padding=padding)
    return pool if min(pool.output_size(length) for length in size) >= 1 else None


def _draw_layer(rng: np.random.Generator, index: int, shapes: dict, last: bool, channels: int,
                tensor_bytes: int) -> Layer | None:
    """A layer that fits the tensors so far, or None if the draw does not."""
    names = list(shapes)
    source = names[-1] if rng.random() < .7 else names[rng.integers(len(names))]
    in_channels, *size = shapes[source]
    kernel = int(rng.integers(1, 8)) if rng.random() < .4 else int(rng.choice([1, 3]))
    out_channels, stride = int(rng.integers(1, channels + 1)), int(rng.integers(1, 3))
    padding = int(rng.integers(0, kernel if rng.random() < .15 else kernel // 2 + 1))
    if rng.random() < .5:  # a shape that earlier tensors may have
        out_channels, stride, kernel = in_channels, 1, kernel | 1
        padding = kernel // 2
    shape = {"in_channels": in_channels, "out_channels": out_channels, "kernel": kernel, "stride": stride,
             "padding": padding}
    plain = Layer(name="shape", input=source, **shape)
    size = plain.map_size(*size)
    if min(size) < 1 or out_channels * size[0] * size[1] > tensor_bytes:
        return None
    partners = [name for name in names if shapes[name] == (out_channels, *size)]
    if len(partners) > 1 and source in partners and rng.random() < .7:
        partners.remove(source)
    residual = partners[rng.integers(len(partners))] if partners and rng.random() < .7 else None
    wide = last and rng.random() < .4 and 4 * out_channels * size[0] * size[1] <= tensor_bytes
    return Layer(name=f"layer{index}", input=source, stream=int(rng.integers(1 << 32)), relu=bool(rng.random() < .6),
                 residual=residual, pool=None if wide else _draw_pool(rng, size), wide=bool(wide), **shape)


def random_topology(rng: np.random.Generator, layers: int, channels: int, side: int = 13,
                    tensor_bytes: int = TENSOR_BYTES) -> Topology:
    """A network of ``layers`` layers of up to ``channels`` channels, for an image of up to ``side`` pixels a side."""
    input_shape = (int(rng.integers(1, min(channels, 8) + 1)), *map(int, rng.integers(1, side + 1, 2)))
    shapes, drawn = {IMAGE: input_shape}, []
    while len(drawn) < layers:
        layer = _draw_layer(rng, len(drawn), shapes, len(drawn) == layers - 1, channels, tensor_bytes)
        if layer is None:
            continue
        if drawn and layer.weight_shape == drawn[-1].weight_shape:  # shared weights: the same stream
            layer = Layer(**{**vars(layer), "stream": drawn[-1].stream})
        drawn.append(layer)
        shapes[layer.name] = (layer.out_channels, *layer.output_size(*shapes[layer.input][1:]))
    return Topology(name="random", input_shape=input_shape, layers=tuple(drawn))


def _draw_weights(rng: np.random.Generator, layer: Layer, seed: int, config: EngineConfig, code: str | None) -> dict:
    """Code, symbols and table, and the ``weights`` they stand for."""
    shape = (layer.out_channels, layer.kernel, layer.kernel, layer.in_channels)
    # Magnitudes that keep the worst sum inside the accumulator.
    limit = min(config.weight_limit, (1 << config.accumulator_bits - 1) // (128 * layer.fan_in))
    code = code or str(rng.choice(["raw", "unary", "ans", "stored"]))
    if code == "stored":
        width = int(rng.choice([width for width in (2, 4, 8) if width <= config.weight_bits]))
        limit = min(limit, (1 << width - 1) - 1)
        stored = rng.integers(-limit, limit + 1, shape).astype(np.int8)
        return {"code": code, "indices": None, "stored": stored, "table": (), "symbol_bits": width, "weights": stored}
    coats = int(rng.integers(1, 8))
    table = tuple(min(index, limit) for index in range(coats + 1))
    if rng.random() < .3:
        table = tuple(rng.integers(-limit, limit + 1, coats + 1).tolist())
    density = float(rng.choice([.05, .3, .9]))
    indices = rng.integers(1, coats + 1, shape) * (rng.random(shape) < density)
    indices = indices.astype(np.uint8)
    fields = code_fields(indices, coats, code)
    if code == "ans":
        fields["offset"] = int(rng.integers(ANS_OFFSETS))  # any is valid, and the best is often 0
    signs = stream.weight_signs(seed, layer.stream, *shape, config.rounds)
    return {**fields, "indices": indices, "stored": None, "table": table,
            "weights": (signs * np.array(table)[indices]).astype(np.int8)}


def _draw_layer_values(rng: np.random.Generator, layer: Layer, weights: dict, tensors: dict, offset_input: bool):
    """The integer layer, and its output for the tensors so far."""
    sums = arithmetic.convolve(tensors[layer.input], weights.pop("weights"), stride=layer.stride,
                               padding=layer.padding, pad_value=-128 if offset_input else 0)
    spread, shift = np.maximum(sums.std((0, 1, 2)), 1), int(rng.integers(6, 17))
    target, low = 40.0, -128
    if layer.wide:
        target, shift = 10.0 ** rng.integers(2, 10), int(rng.integers(0, 9))
    multiplier = target / spread * (1 << shift) * rng.uniform(.3, 2, layer.out_channels)
    multiplier *= rng.choice([-1, 1, 1], layer.out_channels)
    multiplier = np.clip(np.rint(multiplier), -131072, 131071).astype(np.int32)
    offset_output = bool(layer.relu and not layer.wide and rng.random() < .7)
    if layer.relu and not offset_output and not layer.wide:
        low = 0
    residual_multiplier, residual = 0, None
    if layer.residual is not None:
        residual = tensors[layer.residual]
        residual_multiplier = int((1 << shift) * rng.uniform(.2, 1) * rng.choice([-1, 1, 1]))
    mean = (sums * multiplier).mean((0, 1, 2)) + (0 if residual is None else residual.mean() * residual_multiplier)
    centre = (rng.uniform(-120, 20) if offset_output else rng.uniform(-30, 30)) * (1 << shift)
    bias = np.rint(centre - mean).astype(np.int64)
    if layer.wide and rng.random() < .3:  # beyond 32 bits
        bias[rng.integers(layer.out_channels)] += int(rng.choice([-1, 1])) * (3 << 30 + shift)
    average = layer.pool is not None and layer.pool.kind == "average"
    pool_shift = int(rng.integers(8, 17)) if average else 0
    pixels = sums.shape[1] * sums.shape[2]
    pool_multiplier = int(rng.uniform(.5, 1.5) * (1 << pool_shift) / pixels) + 1 if average else 0
    values = arithmetic.requantise(sums, multiplier=multiplier, bias=bias, shift=shift, residual=residual,
                                   residual_multiplier=residual_multiplier, clamp=(low, 127)).astype(np.int8)
    if average:
        values = arithmetic.average_pool(values, pool_multiplier, pool_shift)
    elif layer.pool is not None:
        values = arithmetic.max_pool(values, layer.pool)
    return IntegerLayer(
        layer=layer, multiplier=multiplier, bias=bias, residual_multiplier=residual_multiplier, shift=shift, low=low,
        offset_input=offset_input, offset_output=offset_output, pool_multiplier=pool_multiplier, pool_shift=pool_shift,
        **weights), values


def random_values(topology: Topology, seed: int, config: EngineConfig, code: str | None = None) -> IntegerNetwork:
    """``topology`` with random weights and parameters; ``code`` is drawn per layer if not given."""
    rng = np.random.default_rng([seed, 2])
    network_seed = int(rng.integers(1 << 64, dtype=np.uint64))
    channels, height, width = topology.input_shape
    tensors = {IMAGE: rng.integers(-128, 128, (1, height, width, channels), np.int8)}
    offsets, layers = {IMAGE: True}, []
    for layer in topology.layers:
        weights = _draw_weights(rng, layer, network_seed, config, code)
        drawn, tensors[layer.name] = _draw_layer_values(rng, layer, weights, tensors, offsets[layer.input])
        offsets[layer.name] = drawn.offset_output
        layers.append(drawn)
    return IntegerNetwork(topology, network_seed, config.rounds, tuple(layers), "released")


def random_network(seed: int, config: EngineConfig | None = None, *, layers: int | None = None, channels: int = 20,
                   code: str | None = None, **sizes: int) -> IntegerNetwork:
    """A network that an engine of ``config`` (preset ``tiny``) can run; 1 to 4 layers if ``layers`` is not given.
    ``sizes`` are those of :func:`random_topology`."""
    rng = np.random.default_rng([seed, 0])
    topology = random_topology(rng, layers or int(rng.integers(1, 5)), channels, **sizes)
    return random_values(topology, seed, config or EngineConfig.preset("tiny"), code)
