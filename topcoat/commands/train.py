"""Train a supermask network, or the dense baseline; a training that was cut short goes on where it stopped.

example: topcoat train --coats 3 --epochs 15 -o runs/coats3
"""

from pathlib import Path

import torch

from golden import datasets, networks
from golden.supermask import uniform_densities
from golden.trained import TrainingConfig
from golden.training import train


def numbers(text: str) -> tuple[int, ...]:
    """Comma-separated integers."""
    return tuple(int(part) for part in text.split(","))


def fractions(text: str) -> tuple[float, ...]:
    """Comma-separated fractions."""
    return tuple(float(part) for part in text.split(","))


def configure(parser):
    defaults = TrainingConfig.__dataclass_fields__
    network = parser.add_argument_group("network")
    network.add_argument("--network", choices=("fashion", "resnet", "plain"), default="fashion",
                         help="family: the bundled network, residual, or plain (default: %(default)s)")
    network.add_argument("--width", type=int, default=32, help="channels of the first stage (default: %(default)s)")
    network.add_argument("--blocks", type=numbers, default=(2, 2, 2), metavar="N,N,..",
                         help="resnet: blocks of each stage; plain: pairs of layers of each width (default: 2,2,2)")
    network.add_argument("--shape", type=numbers, default=(1, 28, 28), metavar="C,H,W",
                         help="image shape (default: 1,28,28)")
    network.add_argument("--classes", type=int, default=10, help="outputs (default: %(default)s)")
    coats = parser.add_argument_group("coats")
    coats.add_argument("--coats", type=int, default=3, help="number of coats, 1..7 (default: %(default)s)")
    coats.add_argument("--density", type=float, default=.3, help="kept fraction of the first coat; the others follow "
                       "the uniform schedule (default: %(default)s)")
    coats.add_argument("--densities", type=fractions, metavar="K,K,..", help="kept fractions of all coats instead")
    coats.add_argument("--dense", action="store_true", help="train ordinary weights: the baseline")
    coats.add_argument("--seed", type=int, default=1, help="seed of weights, scores and order (default: %(default)s)")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=defaults["epochs"].default, help="(default: %(default)s)")
    training.add_argument("--learning-rate", type=float, help="peak rate (default: 0.5, dense 0.1)")
    training.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, metavar="DIR",
                          help="IDX folder (default: %(default)s)")
    training.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")


def topology(options):
    """The network that the options describe."""
    if options.network == "fashion":
        return networks.fashion(options.width)
    shape = {"input_shape": options.shape, "classes": options.classes}
    if options.network == "resnet":
        return networks.resnet(blocks=options.blocks, width=options.width, **shape)
    widths = tuple(options.width << stage for stage, pairs in enumerate(options.blocks) for _ in range(2 * pairs))
    return networks.plain(widths=widths, **shape)


def run(options) -> int:
    torch.set_num_threads(options.threads)
    densities = None if options.dense else options.densities or uniform_densities(options.density, options.coats)
    rate = options.learning_rate or (.1 if options.dense else .5)
    config = TrainingConfig(topology=topology(options), densities=densities, seed=options.seed, epochs=options.epochs,
                            learning_rate=rate)
    finished = train(config, options.output, data=options.data)
    print(f"{options.output}: test accuracy {finished.metrics['test_accuracy']:.4f} (float); "
          f"next: topcoat pack {options.output} -o {options.output.name}.coat")
    return 0
