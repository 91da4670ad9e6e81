"""One network across coat counts, beside stored weights on the same engine: every row from shapes alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing import get_context

from arch.config import MAX_COATS, EngineConfig
from compiler.expected import Coats
from golden import bundled, packed
from golden.densities import RELEASED_DENSITIES
from golden.topology import Topology
from reports.actions import actions
from reports.area import area
from reports.area.points import load
from reports.design import Costs, Design, costs
from reports.energy import CONVENTIONS, DRAM_PJ_PER_BIT, NODE_NM, Energy, EnergyRange, default_sets, energies

__all__ = ["Accuracy", "BASELINES", "CLOCK_MHZ", "Comparison", "Row", "compare", "measured_accuracy", "parse_coats"]

BASELINES = {8: "int8", 4: "int4", 1: "1 bit"}
"""Stored weights that coats are held against: name by bits."""

CLOCK_MHZ = 100.
"""Of frames per second, if none is given."""

CHIP = CONVENTIONS["hiddenite"]
"""The chip in whose convention energy per operation is given."""

_SAME_DENSITY = 1e-6


def parse_coats(text: str | None, schedule: str) -> tuple[int, ...]:
    """Coat counts of "1-7", "1,3,7" or "3", ascending; of None all that ``schedule`` has densities for. Raises
    ValueError for others."""
    if text is None:
        return tuple(range(1, (len(RELEASED_DENSITIES) if schedule == "released" else MAX_COATS) + 1))
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            span = range(int(first), int(last if dash else first) + 1)
            if not 1 <= span.start < span.stop <= MAX_COATS + 1:
                raise ValueError
            found.update(span)
    except ValueError:
        raise ValueError(f"coats must be counts and ranges in 1..{MAX_COATS}, such as 1-7 or 1,3,7, "
                         f"not {text!r}") from None
    return tuple(sorted(found))


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a packed integer model on a whole test set, as measured when it was packed."""

    value: float
    test_images: int
    data_set: str
    model: str


def measured_accuracy(topology: Topology, densities: tuple[float, ...]) -> Accuracy | None:
    """Accuracy of the bundled model with this topology and these kept fractions in every layer; None without one."""
    for name, path in bundled.models().items():
        network = packed.load(path)
        if network.topology != topology or "integer_accuracy" not in network.provenance:
            continue
        if all(len(layer.densities) == len(densities)
               and all(abs(one - other) <= _SAME_DENSITY for one, other in zip(layer.densities, densities))
               for layer in network.layers):
            return Accuracy(value=network.provenance["integer_accuracy"], model=name,
                            test_images=network.provenance["test_images"], data_set=network.provenance["data_set"])
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One number of coats, or one baseline. Sizes are of the network, everything per frame of one image."""

    costs: Costs
    clock_mhz: float
    targets: tuple[str, ...]
    accuracy: Accuracy | None

    @property
    def design(self) -> Design:
        """What was asked for."""
        return self.costs.design

    @property
    def label(self) -> str:
        """"3 coats", "int8"."""
        coats = self.design.coats
        return BASELINES[self.design.bits] if not coats else f"{coats} coat{'s' if coats > 1 else ''}"

    @property
    def mark(self) -> str:
        """As a tick of an axis: "3", "int8"."""
        return str(self.design.coats) if self.design.coats else self.label

    @property
    def cycles(self) -> float:
        """Per frame."""
        return self.costs.estimate.cycles / self.design.batch

    @property
    def frames_per_second(self) -> float:
        """At the stated clock, if the memory keeps up."""
        return 1e6 * self.clock_mhz / self.cycles

    @property
    def bytes(self) -> dict[str, float]:
        """Per frame, by ``<stream>_bytes``."""
        return {stream: size / self.design.batch for stream, size in self.costs.estimate.bytes.items()}

    @property
    def dram_bytes(self) -> float:
        """Per frame, all streams."""
        return self.costs.estimate.dram_bytes / self.design.batch

    @property
    def floor_bytes(self) -> float:
        """Compulsory traffic per frame."""
        return self.costs.floor_bytes / self.design.batch

    @cached_property
    def area(self) -> dict[str, dict]:
        """By target."""
        return {target: self.costs.area(target) for target in self.targets}

    @cached_property
    def stored_area(self) -> dict[str, float]:
        """A baseline's area by target without generator, decoder and weight builder; none of coats."""
        if self.design.coats:
            return {}
        return {target: area(self.costs.engine, target, weight_path=False).total for target in self.targets}

    @property
    def energies(self) -> tuple[Energy, ...]:
        """Of a run, by constant set and DRAM cost."""
        return self.costs.energy.energies

    def per_frame(self, picojoules: float) -> float:
        """Energy of a run as energy of a frame, in microjoules."""
        return picojoules / 1e6 / self.design.batch

    @cached_property
    def femtojoules_per_op(self) -> tuple[float, float]:
        """Least and most in the convention of :data:`CHIP`, over the constant sets nearest to its node."""
        chip = energies(actions(self.costs.record, self.costs.engine), self.costs.engine, sets=CHIP.sets,
                        dram_pj_per_bit=(0.,))
        return CHIP.range(chip, self.costs.estimate.macs)

    @property
    def energy(self) -> EnergyRange:
        """Of a run."""
        return self.costs.energy

    def to_json(self) -> dict:
        """Plain JSON values: those of :meth:`~reports.design.Costs.to_json`, and what this row adds."""
        values = self.costs.to_json(self.targets, self.accuracy and self.accuracy.value)
        return {**values, "label": self.label, "clock_mhz": self.clock_mhz,
                "frames_per_second": self.frames_per_second,
                "area_without_weight_path": dict(self.stored_area),
                "fj_per_op": {CHIP.name: list(self.femtojoules_per_op)},
                "energy_breakdown_pj": [energy.to_json() for energy in self.energies],
                "accuracy_of": asdict(self.accuracy) if self.accuracy else None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Rows of all coat counts and of all baselines."""

    network: str
    schedule: str
    code: str
    config: EngineConfig
    batch: int
    clock_mhz: float
    targets: tuple[str, ...]
    coats: tuple[Row, ...]
    baselines: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Coats, then baselines."""
        return self.coats + self.baselines

    @property
    def int8(self) -> Row:
        """The baseline that ratios are against."""
        return next(row for row in self.baselines if row.design.bits == 8)

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {"network": self.network, "schedule": self.schedule, "code": self.code, "preset": self.config.name,
                "batch": self.batch, "clock_mhz": self.clock_mhz, "rows": [row.to_json() for row in self.coats],
                "baselines": [row.to_json() for row in self.baselines]}

    def to_csv(self) -> str:
        """A line per row, with the unit in every column's name."""
        lines = [_flat(row) for row in self.rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()


def _flat(row: Row) -> dict:
    """One line of the CSV file."""
    values = row.to_json()
    line = {"row": row.label, "network": values["network"], "coats": values["coats"], "stored_bits": values["bits"],
            "schedule": values["schedule"], "code": values["code"], "batch_images": values["batch"],
            "weights_count": values["weights"], "macs_per_run_count": values["macs"], "paper_MiB": values["paper_mib"],
            "shannon_bytes": values["shannon_bytes"], "packed_bytes": values["packed_bytes"]}
    line |= {f"dram_{stream.removesuffix('_bytes')}_bytes_per_run": size
             for stream, size in values["dram_bytes"].items()}
    line |= {"floor_bytes_per_run": values["floor_bytes"], "cycles_per_run": values["cycles"],
             "utilisation_fraction": values["utilisation"], "clock_MHz": values["clock_mhz"],
             "frames_per_second": values["frames_per_second"]}
    for target, found in values["area"].items():
        line |= {f"area_{target}_{part}_{found['unit']}": found[part] for part in ("total", "logic", "memory")}
        line[f"area_{target}_memory_blocks_18Kbit"] = found["memory_blocks"]
        line[f"area_{target}_without_weight_path_{found['unit']}"] = values["area_without_weight_path"].get(target)
    for one in values["energy_pj"]:
        at = f"energy_{one['set']}_dram_{one['dram_pj_per_bit']:g}_pJ_per_bit"
        line |= {f"{at}_{part}_pJ_per_run": one[part] for part in ("total", "on_chip", "dram")}
    low, high = row.femtojoules_per_op
    return line | {f"{CHIP.name}_convention_low_fJ_per_op": low, f"{CHIP.name}_convention_high_fJ_per_op": high,
                   "accuracy_fraction": values["accuracy"]}


def compare(network: str, coats: Iterable[int], *, config: EngineConfig, schedule: str = "uniform:0.7",
            code: str = "best", batch: int = 1, clock_mhz: float = CLOCK_MHZ,
            dram_pj_per_bit: Iterable[float] = DRAM_PJ_PER_BIT, node_nm: int = NODE_NM, targets: Iterable[str] = (),
            jobs: int = 1, progress: Callable[[Iterator, int], Iterable] = lambda done, count: done) -> Comparison:
    """``network`` with every number of ``coats``, and its baselines, on engines like ``config``. Energies are ranges
    over the constant sets of ``node_nm``.

    ``targets`` are those of :func:`reports.area.points.targets` that areas are wanted for. ``jobs`` processes work at
    once; ``progress`` wraps the iterator over the designs that are done and gets their number. Raises
    ValueError for arguments that make no design, CompileError for an engine that cannot run one, and StalePoint for a
    target whose points are not of this RTL.
    """
    targets, dram = tuple(targets), tuple(dram_pj_per_bit)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if not 0 < clock_mhz < float("inf"):
        raise ValueError(f"clock must be above 0 MHz, not {clock_mhz:g}")
    if not dram or not all(0 <= price < float("inf") for price in dram):
        raise ValueError(f"DRAM costs must be at least 0 pJ/bit, not {', '.join(map('{:g}'.format, dram)) or 'none'}")
    sets = tuple(costs.name for costs in default_sets(node_nm))
    common = {"network": network, "config": config, "batch": batch}
    coated = [Design(coats=count, schedule=schedule, code=code, **common) for count in coats]
    stored = [Design(bits=bits, **common) for bits in BASELINES]
    topology = stored[0].topology
    for design in coated:
        Coats(design.densities, code)
    for target in targets:
        load(target)
    designs = [*stored, *coated]
    found = dict(progress(_all(designs, sets, dram, jobs), len(designs)))
    rows = [Row(costs=found[design], clock_mhz=clock_mhz, targets=targets,
                accuracy=measured_accuracy(topology, design.densities) if design.coats else None)
            for design in (*coated, *stored)]
    return Comparison(network=network, schedule=schedule, code=code, config=config, batch=batch, clock_mhz=clock_mhz,
                      targets=targets, coats=tuple(rows[:len(coated)]), baselines=tuple(rows[len(coated):]))


def _all(designs: list[Design], sets: tuple[str, ...], dram: tuple[float, ...],
         jobs: int) -> Iterator[tuple[Design, Costs]]:
    """Every design with its costs, as they are done. The longest, int8's search for a weight buffer, starts first."""
    if jobs == 1:
        yield from ((design, costs(design, sets=sets, dram_pj_per_bit=dram)) for design in designs)
        return
    # Spawned: a fork of a process with threads, of which PyTorch has some, may hang.
    with ProcessPoolExecutor(min(jobs, len(designs)), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(costs, design, sets=sets, dram_pj_per_bit=dram): design for design in designs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
