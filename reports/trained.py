"""The record of trained networks that docs/accuracy.md shows: written by ``python -m reports.accuracy``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from golden.checkpoint import write_atomically

RECORD = Path(__file__).parent / "trained.json"

BUNDLED_SEED = 1
"""Of the runs that the bundled models are packed from."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One packed run. Accuracies are fractions of the whole test split."""

    #: Name of the topology (:func:`golden.networks.network_topology`).
    network: str
    #: 0 for dense.
    coats: int
    seed: int
    float_accuracy: float
    integer_accuracy: float
    file_bytes: int
    data_set: str
    test_images: int


@cache
def recorded() -> tuple[Result, ...]:
    """All results of the record."""
    return tuple(Result(**result) for result in json.loads(RECORD.read_text()))


def record(results: Iterable[Result]):
    """Write the record anew."""
    lines = ",\n".join(json.dumps(dataclasses.asdict(result)) for result in results)
    write_atomically(RECORD, lambda path: path.write_text(f"[\n{lines}\n]\n"))
    recorded.cache_clear()
