"""Trains a documented table: ``python -m golden.sweep TABLE --out DIR``. Finished runs are skipped, cut ones go on.

Every run is a folder of ``golden.training.train``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from golden import checkpoint, datasets
from golden.densities import uniform_densities
from golden.networks import fashion
from golden.trained import TrainingConfig
from golden.training import train

FIRST_DENSITY = .3
"""Kept fraction of the first coat; the other coats follow the uniform schedule."""

DENSE_LEARNING_RATE = .1
"""Scores are ranked, so their own size does not matter and they take larger steps than weights."""

PRUNED_LEARNING_RATE = .3
"""On held-out images, four epochs of width 12: better than .1, .6 is no better."""

CRITIQUE_EPOCHS = 8

_SUPERMASKS = ((3, 16, .3), (3, 24, .3), (3, 32, .3), (1, 32, .3), (1, 16, .3), (1, 24, .3), (7, 16, .3), (7, 24, .3),
               (3, 16, .5))
"""Coats, width and density of the first coat."""

_PRUNED = ((4, 16, .25), (4, 12, .25), (8, 16, .25), (8, 12, .25), (4, 24, .1), (4, 16, .5), (4, 8, .5), (8, 16, .5),
           (4, 12, .5), (4, 16, .1), (8, 8, .5))
"""Bits, width and kept fraction."""


def accuracy_table() -> dict[str, TrainingConfig]:
    """Runs by name, most wanted first: coats 1, 2, 3, 5, 7 and the dense baseline on the bundled topology with seed 1,
    then seeds 2 and 3 of one coat, three coats and dense; each is ``<coats>-seed<seed>``."""
    runs = {}
    cases = [(coats, 1) for coats in (3, 1, 7, 5, 2, None)]
    cases += [(coats, seed) for seed in (2, 3) for coats in (3, 1, None)]
    for coats, seed in cases:
        if coats is None:
            runs[f"dense-seed{seed}"] = TrainingConfig(topology=fashion(), densities=None, seed=seed,
                                                       learning_rate=DENSE_LEARNING_RATE)
        else:
            runs[f"coats{coats}-seed{seed}"] = TrainingConfig(
                topology=fashion(), densities=uniform_densities(FIRST_DENSITY, coats), seed=seed)
    return runs


def critique_table() -> dict[str, TrainingConfig]:
    """Runs by name: supermasks and pruned networks of the bundled family in several widths, trained equally long and
    from one seed; each is ``<coats or bits>-width<width>-kept<density>``."""
    runs = {}
    for coats, width, density in _SUPERMASKS:
        runs[f"coats{coats}-width{width}-kept{density:g}"] = TrainingConfig(
            topology=fashion(width), densities=uniform_densities(density, coats), epochs=CRITIQUE_EPOCHS)
    for bits, width, kept in _PRUNED:
        runs[f"int{bits}-width{width}-kept{kept:g}"] = TrainingConfig(
            topology=fashion(width), densities=None, kept=kept, bits=bits, epochs=CRITIQUE_EPOCHS,
            learning_rate=PRUNED_LEARNING_RATE)
    return runs


TABLES = {"accuracy": accuracy_table, "critique": critique_table}
"""Tables by name: those of docs/accuracy.md and docs/critique.md."""


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m golden.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=TABLES, help="which runs")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder per run")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, help="IDX folder (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    runs = TABLES[options.table]()
    for number, (name, config) in enumerate(runs.items(), 1):
        print(f"[{number}/{len(runs)}] {name}", flush=True)
        try:
            finished = train(config, options.out / name, data=options.data)
        except (checkpoint.CheckpointError, OSError, ValueError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        print(f"[{number}/{len(runs)}] {name}: test accuracy {finished.metrics['test_accuracy']:.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
