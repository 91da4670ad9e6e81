"""Computing the points of a sweep that are not there yet."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from reports.sweep import cluster
from reports.sweep.points import Point, evaluate, failure, model_hash
from reports.sweep.store import Store


def missing(points: Iterable[Point], store: Store, *, stale: bool = False) -> list[Point]:
    """What to compute, sorted: points without a row of this model; with ``stale`` also all that the store has rows of
    another model of."""
    return sorted({*points, *(store.stale if stale else ())} - store.rows.keys())


def compute(points: Sequence[Point], *, scheduler: str | None = None,
            workers: int | None = None) -> Iterator[list[dict]]:
    """Rows of ``points``, some at a time as they come in, from a cluster (:func:`reports.sweep.cluster.connect`)."""
    if not points:
        return
    groups = defaultdict(list)
    for point in points:
        groups[point.group].append(point)
    with cluster.connect(scheduler, workers) as client:
        yield from cluster.compute(client, groups, functools.partial(evaluate, model=model_hash()), failure)
