"""What a network computes, without any weights: the one description that the PyTorch model, the integer model, the
packed file and the compiler all read.

A layer is a convolution (a linear layer is a 1x1 convolution of a 1x1 map) followed, in this order, by batch
normalisation, the residual sum, ReLU and a pool. That is what one pass through the engine computes, so a layer here
is a layer there. Source: docs/specification.md, "Arithmetic" and "Packed model".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

IMAGE = "image"
"""Name of the tensor that enters the network."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Pool after a layer. ``kind`` is "max" (square window) or "average" (global: the whole map to 1x1)."""

    kind: str
    kernel: int = 0
    stride: int = 0
    padding: int = 0

    def __post_init__(self):
        if self.kind not in ("max", "average"):
            raise ValueError(f"pool kind must be 'max' or 'average', not {self.kind!r}")
        if self.kind == "max":
            if self.kernel < 1 or self.stride < 1 or not 0 <= self.padding < self.kernel:
                raise ValueError(f"max pool must have kernel >= 1, stride >= 1 and 0 <= padding < kernel, not {self}")
        elif self.kernel or self.stride or self.padding:
            raise ValueError("average pool is global: it has no kernel, stride or padding")

    def output_size(self, size: int) -> int:
        """Pooled length of a map axis of ``size`` pixels."""
        if self.kind == "average":
            return 1
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution with all that is fused behind it.

    ``input`` and ``residual`` name an earlier layer's output, or :data:`IMAGE`. ``stream`` is the id of the weight
    tensor's random stream: layers that name the same stream share weights. ``normalised`` says whether batch
    normalisation follows (the classifier has none). ``wide`` layers output 32-bit integers (logits).
    """

    name: str
    input: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    stream: int = 0
    normalised: bool = True
    relu: bool = True
    residual: str | None = None
    pool: Pool | None = None
    wide: bool = False

    def __post_init__(self):
        for field in ("in_channels", "out_channels", "kernel", "stride"):
            if getattr(self, field) < 1:
                raise ValueError(f"layer {self.name}: {field} must be at least 1, not {getattr(self, field)}")
        if not 0 <= self.padding < self.kernel:
            raise ValueError(f"layer {self.name}: padding must be in 0..kernel-1, not {self.padding}")
        if not 0 <= self.stream < 1 << 32:
            raise ValueError(f"layer {self.name}: stream must be an unsigned 32-bit id, not {self.stream}")

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape (out, in, ky, kx) of the weight tensor."""
        return self.out_channels, self.in_channels, self.kernel, self.kernel

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.out_channels * self.in_channels * self.kernel ** 2

    @property
    def fan_in(self) -> int:
        """Weights that feed one output."""
        return self.in_channels * self.kernel ** 2

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the convolution's output map, before the pool, for an input map of that size."""
        return tuple((size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (height, width))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the layer's output, after the pool."""
        height, width = self.map_size(height, width)
        if self.pool is None:
            return height, width
        return self.pool.output_size(height), self.pool.output_size(width)


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A network: its input shape (channels, height, width) and its layers in the order they run."""

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]

    def __post_init__(self):
        shapes = {IMAGE: tuple(self.input_shape)}
        for layer in self.layers:
            if layer.name in shapes:
                raise ValueError(f"layer {layer.name}: the name is taken")
            for role in ("input", "residual"):
                source = getattr(layer, role)
                if source is not None and source not in shapes:
                    raise ValueError(f"layer {layer.name}: {role} {source!r} is not an earlier layer")
            channels, *size = shapes[layer.input]
            if channels != layer.in_channels:
                raise ValueError(f"layer {layer.name}: in_channels is {layer.in_channels}, but {layer.input} has "
                                 f"{channels}")
            map_size = layer.map_size(*size)
            output = layer.output_size(*size)
            if min(*map_size, *output) < 1:
                raise ValueError(f"layer {layer.name}: a {size[0]}x{size[1]} map is too small for it")
            if layer.residual is not None and shapes[layer.residual] != (layer.out_channels, *map_size):
                raise ValueError(f"layer {layer.name}: residual {layer.residual} has shape {shapes[layer.residual]}, "
                                 f"not {(layer.out_channels, *map_size)}")
            shapes[layer.name] = (layer.out_channels, *output)
        if not self.layers:
            raise ValueError(f"network {self.name}: no layers")

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """(channels, height, width) of every tensor, by the name of the layer that writes it."""
        shapes = {IMAGE: tuple(self.input_shape)}
        for layer in self.layers:
            shapes[layer.name] = (layer.out_channels, *layer.output_size(*shapes[layer.input][1:]))
        return shapes

    def macs(self) -> dict[str, int]:
        """Multiply-accumulates per image of every layer: pixels x out_channels x fan_in, padding counted."""
        shapes = self.shapes()
        counts = {}
        for layer in self.layers:
            height, width = layer.map_size(*shapes[layer.input][1:])
            counts[layer.name] = height * width * layer.out_channels * layer.fan_in
        return counts

    def to_json(self) -> dict:
        """Plain JSON values; :meth:`from_json` is the inverse. Fields at their default are left out."""
        layers = []
        for layer in self.layers:
            entry = {}
            for field in dataclasses.fields(layer):
                value = getattr(layer, field.name)
                if value != field.default:
                    entry[field.name] = dataclasses.asdict(value) if isinstance(value, Pool) else value
            layers.append(entry)
        return {"name": self.name, "input_shape": list(self.input_shape), "layers": layers}

    @classmethod
    def from_json(cls, data: dict) -> Topology:
        """Raises ValueError with the place of the first thing that is not a valid topology."""
        try:
            layers = tuple(
                Layer(**{**entry, "pool": Pool(**entry["pool"])} if entry.get("pool") else entry)
                for entry in data["layers"])
            return cls(name=data["name"], input_shape=tuple(data["input_shape"]), layers=layers)
        except (KeyError, TypeError) as error:
            raise ValueError(f"topology: {error}") from error
