"""Train a supermask network, or the dense baseline; a training that was cut short goes on where it stopped.

example: topcoat train --coats 3 --epochs 15 -o runs/coats3
"""

from pathlib import Path

import torch

from golden import datasets, networks, sweep
from golden.densities import RELEASED_DENSITIES, uniform_densities
from golden.trained import TrainingConfig
from golden.training import train


def numbers(text: str) -> tuple[int, ...]:
    """Comma-separated integers."""
    return tuple(int(part) for part in text.split(","))


def fractions(text: str) -> tuple[float, ...]:
    """Comma-separated fractions, or the name of a list."""
    if text == "released":
        return RELEASED_DENSITIES
    return tuple(float(part) for part in text.split(","))


def configure(parser):
    defaults = TrainingConfig.__dataclass_fields__
    network = parser.add_argument_group("network")
    network.add_argument("--network", choices=("fashion", "resnet", "plain"), default="fashion",
                         help="family: the bundled network, residual, or plain (default: %(default)s)")
    network.add_argument("--width", type=int, default=32, help="channels of the first stage (default: %(default)s)")
    network.add_argument("--blocks", type=numbers, metavar="N,N,..",
                         help="resnet: blocks of each stage; plain: pairs of layers of each width (default: 2,2,2)")
    network.add_argument("--shape", type=numbers, metavar="C,H,W",
                         help="resnet and plain: image shape (default: 1,28,28)")
    network.add_argument("--classes", type=int, help="resnet and plain: outputs (default: 10)")
    coats = parser.add_argument_group("coats")
    coats.add_argument("--coats", type=int, help="number of coats, 1..7 (default: 3)")
    coats.add_argument("--density", type=float, help="kept fraction of the first coat; the others follow the uniform "
                       f"schedule (default: {sweep.FIRST_DENSITY})")
    coats.add_argument("--densities", type=fractions, metavar="K,K,..",
                       help="kept fractions of all coats instead, or `released`: the paper's released ResNet-50's")
    coats.add_argument("--dense", action="store_true", help="train ordinary weights: the baseline")
    coats.add_argument("--seed", type=int, default=1, help="seed of weights, scores and order (default: %(default)s)")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=defaults["epochs"].default, help="(default: %(default)s)")
    training.add_argument("--learning-rate", type=float, help="peak rate (default: 0.5, dense 0.1)")
    training.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, metavar="DIR",
                          help="IDX folder (default: %(default)s)")
    training.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")


def refuse(options, names: tuple[str, ...], reason: str):
    """Raises ValueError for an option that would be ignored."""
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} does not go with {reason}")


def topology(options):
    """The network that the options describe."""
    if options.network == "fashion":
        refuse(options, ("blocks", "shape", "classes"), "--network fashion: choose resnet or plain")
        return networks.fashion(options.width)
    shape = options.shape or (1, 28, 28)
    if len(shape) != 3:
        raise ValueError(f"--shape must be channels,height,width, not {','.join(map(str, shape))}")
    blocks = options.blocks or (2, 2, 2)
    shape = {"input_shape": shape, "classes": 10 if options.classes is None else options.classes}
    if options.network == "resnet":
        return networks.resnet(blocks=blocks, width=options.width, **shape)
    widths = tuple(options.width << stage for stage, pairs in enumerate(blocks) for _ in range(2 * pairs))
    return networks.plain(widths=widths, **shape)


def densities(options) -> tuple[float, ...] | None:
    """Kept fractions of the coats; None for dense."""
    if options.dense:
        refuse(options, ("coats", "density", "densities"), "--dense")
        return None
    if options.densities is not None:
        refuse(options, ("coats", "density"), "--densities")
        return options.densities
    return uniform_densities(sweep.FIRST_DENSITY if options.density is None else options.density,
                             3 if options.coats is None else options.coats)


def run(options) -> int:
    torch.set_num_threads(options.threads)
    rate = options.learning_rate
    if rate is None:
        default = TrainingConfig.__dataclass_fields__["learning_rate"].default
        rate = sweep.DENSE_LEARNING_RATE if options.dense else default
    config = TrainingConfig(topology=topology(options), densities=densities(options), seed=options.seed,
                            epochs=options.epochs, learning_rate=rate)
    finished = train(config, options.output, data=options.data)
    print(f"{options.output}: test accuracy {finished.metrics['test_accuracy']:.4f} (float); "
          f"next: topcoat pack {options.output} -o {options.output.name}.coat")
    return 0
