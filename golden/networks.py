"""The network families: residual networks (He et al. 2016) and plain convolutional networks, as topologies.

Stem, down-sample and classifier layers are supermasks like all others (M-Sup), so a network is fully described by
its :class:`~golden.topology.Topology`; the coats are chosen when it is trained.
"""

from __future__ import annotations

from golden.topology import IMAGE, Layer, Pool, Topology


class _Builder:
    """Collects layers and gives every weight tensor the next free stream id."""

    def __init__(self, input_shape: tuple[int, int, int]):
        self.layers: list[Layer] = []
        self._channels = {IMAGE: input_shape[0]}

    def add(self, name: str, input: str, out_channels: int, kernel: int, **options) -> str:
        options.setdefault("padding", kernel // 2)
        self.layers.append(Layer(name=name, input=input, in_channels=self._channels[input], out_channels=out_channels,
                                 kernel=kernel, stream=len(self.layers), **options))
        self._channels[name] = out_channels
        return name

    def classifier(self, input: str, classes: int):
        """The linear layer behind a global average pool: no bias, no normalisation."""
        self.add("fc", input, classes, 1, normalised=False, relu=False, wide=True)


def resnet(*, blocks: tuple[int, ...], width: int, input_shape: tuple[int, int, int], classes: int,
           bottleneck: bool = False, stem_kernel: int = 3, stem_stride: int = 1, stem_pool: Pool | None = None,
           width_factor: int = 1, name: str = "resnet") -> Topology:
    """Residual network: a stem, then ``len(blocks)`` stages whose width doubles and whose map halves.

    ``width`` is the channel count of the first stage's 3x3 convolutions; bottleneck blocks widen their output four
    times, ``width_factor`` widens only their inner layers (Wide ResNet-50-2 has 2). The last block's sum is pooled to
    1x1 by the layer that computes it. The down-sample layer is placed between a block's convolutions, so that the
    engine has independent work while the first one drains.
    """
    net = _Builder(input_shape)
    source = net.add("stem", IMAGE, width, stem_kernel, stride=stem_stride, pool=stem_pool)
    source_channels = width
    for stage, count in enumerate(blocks):
        inner = width << stage
        outer = inner * 4 if bottleneck else inner
        inner *= width_factor
        for block in range(count):
            prefix = f"stage{stage + 1}.block{block + 1}"
            stride = 2 if stage and not block else 1
            last = stage == len(blocks) - 1 and block == count - 1
            if bottleneck:
                branch = net.add(f"{prefix}.conv1", source, inner, 1)
                branch = net.add(f"{prefix}.conv2", branch, inner, 3, stride=stride)
            else:
                branch = net.add(f"{prefix}.conv1", source, inner, 3, stride=stride)
            shortcut = source
            if stride != 1 or source_channels != outer:
                shortcut = net.add(f"{prefix}.downsample", source, outer, 1, stride=stride, relu=False)
            source = net.add(f"{prefix}.conv{3 if bottleneck else 2}", branch, outer, 1 if bottleneck else 3,
                             residual=shortcut, pool=Pool(kind="average") if last else None)
            source_channels = outer
    net.classifier(source, classes)
    return Topology(name=name, input_shape=tuple(input_shape), layers=tuple(net.layers))


def plain(*, widths: tuple[int, ...], input_shape: tuple[int, int, int], classes: int, kernel: int = 3,
          name: str = "plain") -> Topology:
    """Plain network (Conv2/4/6/8 style): convolutions in pairs of one width, a 2x2 max pool after every pair."""
    net = _Builder(input_shape)
    source = IMAGE
    for index, width in enumerate(widths):
        last = index == len(widths) - 1
        pool = Pool(kind="average") if last else Pool(kind="max", kernel=2, stride=2) if index % 2 else None
        source = net.add(f"conv{index + 1}", source, width, kernel, pool=pool)
    net.classifier(source, classes)
    return Topology(name=name, input_shape=tuple(input_shape), layers=tuple(net.layers))


def fashion(width: int = 32) -> Topology:
    """The bundled network: three residual stages over a pooled 5x5 stem, for 28x28 grey images and ten classes."""
    return resnet(blocks=(1, 1, 1), width=width, input_shape=(1, 28, 28), classes=10, stem_kernel=5,
                  stem_pool=Pool(kind="max", kernel=2, stride=2), name="fashion")


_BLOCKS = {
    "resnet18": {"blocks": (2, 2, 2, 2)},
    "resnet34": {"blocks": (3, 4, 6, 3)},
    "resnet50": {"blocks": (3, 4, 6, 3), "bottleneck": True},
    "resnet101": {"blocks": (3, 4, 23, 3), "bottleneck": True},
    "wide-resnet50": {"blocks": (3, 4, 6, 3), "bottleneck": True, "width_factor": 2},
}

_SHAPES = {
    "": {"input_shape": (3, 224, 224), "classes": 1000, "stem_kernel": 7, "stem_stride": 2,
         "stem_pool": Pool(kind="max", kernel=3, stride=2, padding=1)},
    "-cifar": {"input_shape": (3, 32, 32), "classes": 10},
}

NETWORKS = (*(name + suffix for suffix in _SHAPES for name in _BLOCKS), "fashion")
"""Networks by name: ImageNet's shape (224x224, 1000 classes), CIFAR's with "-cifar" (32x32, 10 classes), and the
bundled "fashion". The names are also the topologies'."""


def network_topology(name: str, width: int | None = None) -> Topology:
    """The topology of one of :data:`NETWORKS`, with ``width`` channels in its first stage instead of its own;
    ValueError for another name.

    Where a bottleneck block strides, its 3x3 convolution does.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, not {name!r}")
    if width is not None and width < 1:
        raise ValueError(f"width must be at least 1, not {width!r}")
    if name == "fashion":
        return fashion() if width is None else fashion(width)
    base = name.removesuffix("-cifar")
    return resnet(**_BLOCKS[base], **_SHAPES[name.removeprefix(base)], width=width or 64, name=name)
