"""Trains the documented table: ``python -m golden.sweep --out DIR``. Finished runs are skipped, cut ones go on.

Coats 1, 2, 3, 5, 7 and the dense baseline on the bundled topology with seed 1, then seeds 2 and 3 of one coat, three
coats and dense. Every run is a folder of ``golden.training.train`` named ``<coats>-seed<seed>``.
"""

from __future__ import annotations

import argparse
import dataclasses
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


def table() -> dict[str, TrainingConfig]:
    """The runs by name, most wanted first."""
    runs = {}
    cases = [(coats, 1) for coats in (3, 1, 7, 5, 2, None)]
    cases += [(coats, seed) for seed in (2, 3) for coats in (3, 1, None)]
    for coats, seed in cases:
        name = "dense" if coats is None else f"coats{coats}"
        densities = None if coats is None else uniform_densities(FIRST_DENSITY, coats)
        config = TrainingConfig(topology=fashion(), densities=densities, seed=seed)
        if coats is None:
            config = dataclasses.replace(config, learning_rate=DENSE_LEARNING_RATE)
        runs[f"{name}-seed{seed}"] = config
    return runs


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m golden.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder per run")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, help="IDX folder (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    runs = table()
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
