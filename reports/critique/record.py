"""What is kept of the trainings: accuracy and sizes, as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from golden.networks import fashion
from golden.topology import Topology

RECORD = Path(__file__).parent / "record.json"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One trained network. Accuracies are fractions of the whole test split; lists have an entry per layer."""

    name: str
    #: Channels of the first stage of :func:`golden.networks.fashion`.
    width: int
    #: Kept fractions of the coats; empty for stored weights.
    densities: tuple[float, ...]
    #: Width of stored weights, and the fraction of them that training kept; 0 for coats.
    bits: int
    kept: float
    epochs: int
    seed: int
    float_accuracy: float
    integer_accuracy: float
    #: The packed file; stored weights are not entropy-coded in theirs.
    file_bytes: int
    #: Masks in the packed file; stored weights by :mod:`reports.critique.coding`.
    coded_bits: tuple[float, ...]
    #: Weights that are 0 in the integer network.
    zeros: tuple[int, ...]

    @property
    def coats(self) -> int:
        """Number of coats; 0 for stored weights."""
        return len(self.densities)

    @property
    def side(self) -> str:
        """"coats", "int4" or "int8": whose points are compared as one."""
        return f"int{self.bits}" if self.bits else "coats"

    @property
    def topology(self) -> Topology:
        """The network's shapes."""
        return fashion(self.width)


def load(path: Path = RECORD) -> list[Result]:
    """The results on record."""
    return [Result(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()})
            for entry in json.loads(path.read_text())]


def save(results: list[Result], path: Path = RECORD) -> None:
    """Write ``results`` to ``path``, a line each."""
    lines = (json.dumps(dataclasses.asdict(result)) for result in results)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
