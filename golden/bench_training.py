"""Cost of a training step: ``python -m golden.bench_training``. Supermask steps, ours and naive ones, against dense.

All variants run in one process and take turns, so that a busy machine slows all of them alike; the figure is the ratio
of medians. Ours updates thresholds every 16 steps; the naive ones sort all scores at every step.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

import numpy as np
import torch

from golden.datasets import ImageSet
from golden.densities import kept_count, uniform_densities
from golden.networks import fashion
from golden.supermask import SupermaskConv2d
from golden.trained import TrainingConfig
from golden.training import Run

FIRST_DENSITY = .3


SORT = "sort"
SORT_PER_COAT = "sort per coat"


@torch.no_grad()
def sort_thresholds(conv: SupermaskConv2d, per_coat: bool) -> None:
    """What a naive step does: sort all scores of a layer, once, or for every coat as stacked one-coat layers do."""
    for coat, density in enumerate(conv.densities):
        if per_coat or coat == 0:
            ordered = conv.scores.abs().flatten().sort().values
        conv.thresholds[coat] = ordered[-kept_count(len(ordered), density, conv.convention)]


def variants(width: int) -> dict[str, TrainingConfig]:
    """Configurations by name, the dense reference first."""
    dense = TrainingConfig(topology=fashion(width), densities=None)
    coats = {f"N={coats}": dataclasses.replace(dense, densities=uniform_densities(FIRST_DENSITY, coats))
             for coats in (1, 3, 7)}
    naive = {f"{name} {method}": config for method in (SORT, SORT_PER_COAT) for name, config in coats.items()}
    return {"dense": dense, **coats, **naive}


def measure(*, width: int, rounds: int) -> dict[str, float]:
    """Median seconds of a step by variant; a round is ``refresh_steps`` steps of each, so one refresh each."""
    rng = np.random.default_rng(0)
    configs = variants(width)
    count = next(iter(configs.values())).batch_size
    images = ImageSet(images=rng.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8),
                      labels=rng.integers(0, 10, count))
    runs = {name: Run(config, images) for name, config in configs.items()}
    seconds = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            for step in range(run.config.refresh_steps):
                if name.endswith((SORT, SORT_PER_COAT)):
                    for module in run.network.layers.values():
                        sort_thresholds(module.conv, name.endswith(SORT_PER_COAT))
                elif step == 0:
                    run.network.refresh()
                run.step(run.images, run.labels, run.config.learning_rate)
            if turn:  # the first turn warms up
                seconds[name].append((time.perf_counter() - start) / run.config.refresh_steps)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m golden.bench_training", description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of 16 steps (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    medians = measure(width=options.width, rounds=options.rounds)
    print(f"{'step':<20}{'ms':>8}{'ratio to dense':>16}")
    for name, value in medians.items():
        print(f"{name:<20}{value * 1e3:>8.1f}{value / medians['dense']:>16.3f}")


if __name__ == "__main__":
    main()
