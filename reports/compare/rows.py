"""One network across coat counts, beside stored weights on the same engine: every row from shapes alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from multiprocessing import get_context

from arch.config import MAX_COATS, EngineConfig
from compiler.expected import Coats
from golden import bundled, packed
from golden.densities import RELEASED_DENSITIES
from golden.networks import network_topology
from golden.topology import Topology
from reports.actions import actions
from reports.area.points import load
from reports.area.synthesis import FPGAS
from reports.design import Costs, Design, costs
from reports.energy import CONVENTIONS, DRAM_PJ_PER_BIT, NODE_NM, Energy, EnergyRange, default_sets, energies
from reports.trained import BUNDLED_SEED, recorded

__all__ = ["Accuracy", "BASELINES", "CLOCK_MHZ", "Comparison", "Row", "compare", "measured_accuracy", "parse_coats"]

BASELINES = {8: "int8", 4: "int4", 1: "1 bit"}
"""Stored weights that coats are held against: name by bits."""

CLOCK_MHZ = 100.
"""Of frames per second, if none is given."""

CHIPS = tuple(CONVENTIONS.values())
"""The chips in whose conventions energy per operation is given; the first one's stands in the overview."""

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


def measured_accuracy(topology: Topology, design: Design) -> Accuracy | None:
    """Of coats, accuracy of the bundled model with this topology and these kept fractions in every layer; of int8, that
    of the dense network trained beside the bundled models. None without one."""
    if not design.coats:
        dense = next((result for result in recorded() if not result.coats and result.seed == BUNDLED_SEED
                      and network_topology(result.network) == topology), None)
        return None if dense is None or design.bits != 8 else Accuracy(
            value=dense.integer_accuracy, model=f"dense, seed {dense.seed}", test_images=dense.test_images,
            data_set=dense.data_set)
    densities = design.densities
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
        """By target; a baseline's without generator, decoder and weight builder."""
        return {target: self.costs.area(target) for target in self.targets}

    @cached_property
    def widened_area(self) -> dict[str, float]:
        """A baseline's area by target with generator, decoder and weight builder: the engine of coats with wider
        weights. None of coats."""
        if self.design.coats:
            return {}
        return {target: self.costs.area(target, weight_path=True)["total"] for target in self.targets}

    @property
    def energies(self) -> tuple[Energy, ...]:
        """Of a run, by constant set and DRAM cost."""
        return self.costs.energy.energies

    def per_frame(self, picojoules: float) -> float:
        """Energy of a run as energy of a frame, in microjoules."""
        return picojoules / 1e6 / self.design.batch

    @cached_property
    def femtojoules_per_op(self) -> dict[str, tuple[float, float]]:
        """Least and most in the convention of every one of :data:`CHIPS`, by name, over the constant sets nearest to
        its node."""
        counts, engine = actions(self.costs.record, self.costs.engine), self.costs.engine
        return {chip.name: chip.range(energies(counts, engine, sets=chip.sets, dram_pj_per_bit=(0.,)),
                                      self.costs.estimate.macs) for chip in CHIPS}

    @property
    def energy(self) -> EnergyRange:
        """Of a run."""
        return self.costs.energy

    def to_json(self) -> dict:
        """Plain JSON values: those of :meth:`~reports.design.Costs.to_json`, and what this row adds."""
        values = self.costs.to_json(self.targets, self.accuracy and self.accuracy.value)
        return {**values, "label": self.label, "clock_mhz": self.clock_mhz,
                "frames_per_second": self.frames_per_second,
                "area_with_weight_path": dict(self.widened_area),
                "fj_per_op": {chip: list(span) for chip, span in self.femtojoules_per_op.items()},
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
    #: With code "best": the most coats in code "unary", which may take less energy for more bytes.
    unary: Row | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """Coats, then baselines."""
        return self.coats + self.baselines

    @property
    def int8(self) -> Row:
        """The baseline that ratios are against."""
        return next(row for row in self.baselines if row.design.bits == 8)

    @property
    def overview_targets(self) -> tuple[str, ...]:
        """An FPGA, and standard cells, those that energies are measured in if any are: the overview and trade-offs have
        no room for all."""
        fpgas = [target for target in self.targets if target in FPGAS]
        sets = {energy.costs.name.rpartition("-")[0] for energy in self.rows[0].energies}
        cells = sorted(set(self.targets) - set(fpgas), key=lambda target: (target not in sets, target))
        return (*fpgas[:1], *cells[:1])

    def to_json(self) -> list[dict]:
        """Plain JSON values of all :attr:`rows`."""
        return [row.to_json() for row in self.rows]

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
    line["dram_total_bytes_per_run"] = values["dram_total_bytes"]
    line |= {"floor_bytes_per_run": values["floor_bytes"], "cycles_per_run": values["cycles"],
             "utilisation_fraction": values["utilisation"], "clock_MHz": values["clock_mhz"],
             "frames_per_second": values["frames_per_second"]}
    for target, found in values["area"].items():
        line |= {f"area_{target}_{part}_{found['unit']}": found[part] for part in ("total", "logic", "memory")}
        line[f"area_{target}_memory_blocks_18Kbit"] = found["memory_blocks"]
        line[f"area_{target}_with_weight_path_{found['unit']}"] = values["area_with_weight_path"].get(target)
    for one in values["energy_pj"]:
        at = f"energy_{one['set']}_dram_{one['dram_pj_per_bit']:g}_pJ_per_bit"
        line |= {f"{at}_{part}_pJ_per_run": one[part] for part in ("total", "on_chip", "dram")}
    for chip, (low, high) in row.femtojoules_per_op.items():
        line |= {f"{chip}_convention_low_fJ_per_op": low, f"{chip}_convention_high_fJ_per_op": high}
    return line | {"accuracy_fraction": values["accuracy"]}


def compare(network: str, coats: Iterable[int], *, config: EngineConfig, width: int | None = None,
            schedule: str = "uniform:0.7", code: str = "best", batch: int = 1, clock_mhz: float = CLOCK_MHZ,
            dram_pj_per_bit: Iterable[float] = DRAM_PJ_PER_BIT, node_nm: int = NODE_NM, targets: Iterable[str] = (),
            jobs: int = 1, progress: Callable[[Iterator, int], Iterable] = lambda done, count: done) -> Comparison:
    """``network`` with every number of ``coats``, and its baselines, on engines like ``config``. ``width`` is the
    number of channels of the first stage, if not the network's own. Energies are ranges over the constant sets of
    ``node_nm``.

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
    common = {"network": network, "config": config, "width": width, "batch": batch}
    coated = [Design(coats=count, schedule=schedule, code=code, **common) for count in coats]
    stored = [Design(bits=bits, **common) for bits in BASELINES]
    topology = stored[0].topology
    for design in coated:
        Coats(design.densities, code)
    for target in targets:
        load(target)
    unary = [replace(coated[-1], code="unary")] if code == "best" else []
    designs = [*stored, *coated, *unary]
    found = dict(progress(_all(designs, sets, dram, jobs), len(designs)))
    rows = {design: Row(costs=costs, clock_mhz=clock_mhz, targets=targets,
                        accuracy=measured_accuracy(topology, design)) for design, costs in found.items()}
    return Comparison(network=network, schedule=schedule, code=code, config=config, batch=batch, clock_mhz=clock_mhz,
                      targets=targets, coats=tuple(rows[design] for design in coated),
                      baselines=tuple(rows[design] for design in stored), unary=rows[unary[0]] if unary else None)


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
