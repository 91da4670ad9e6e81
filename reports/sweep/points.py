"""Points of a sweep: what a point is, and the row of results that it becomes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arch.config import MAX_COATS, PRESETS, EngineConfig
from arch.counters import STREAMS
from golden.codes import CHOICES
from golden.densities import RELEASED_DENSITIES, SCHEDULES
from golden.networks import NETWORKS, network_topology
from reports.area import AreaReport, area, points as area_points, suited
from reports.area.sources import source_digest
from reports.area.synthesis import FPGAS
from reports.costs import FOLDER as CONSTANTS
from reports.design import Design, costs
from reports.energy import DRAM_PJ_PER_BIT, default_sets
from reports.stored import BITS

STORED = "stored"
"""Schedule and code of a point with stored weights."""


@dataclass(frozen=True, order=True, kw_only=True)
class Point:
    """The inputs of one design. Points are sorted by them, in this order."""

    network: str
    #: Channels of the network's first stage.
    width: int
    #: What the engine has apart from the four fields that follow; a baseline's own buffer may be larger.
    preset: str
    columns: int
    lanes: int
    activation_bytes: int
    mask_bytes: int
    #: 0 of stored weights, whose schedule and code are STORED and whose density is 1.
    coats: int
    schedule: str
    #: Kept fraction of the first coat.
    density: float
    code: str
    #: Width of stored weights; 0 of coats.
    bits: int = 0
    #: Images of a run.
    batch: int = 1

    @property
    def group(self) -> tuple:
        """Points of equal groups share most of their work, the plans, if one process computes them."""
        return self.network, self.width, self.preset, self.columns, self.lanes, self.activation_bytes

    def design(self) -> Design:
        """Raises ValueError for an engine that cannot be built."""
        config = EngineConfig.preset(
            self.preset, name="custom", columns=self.columns, lanes=self.lanes, activation_bytes=self.activation_bytes,
            mask_bytes=self.mask_bytes)
        common = {"network": self.network, "width": self.width, "batch": self.batch, "config": config}
        if self.bits:
            return Design(bits=self.bits, **common)
        schedule = self.schedule if self.schedule == "released" else f"{self.schedule}:{round(1 - self.density, 12)}"
        return Design(coats=self.coats, schedule=schedule, code=self.code, **common)


AXES = tuple(field.name for field in dataclasses.fields(Point))
"""The inputs by name."""


def grid(*, networks: Sequence[str], presets: Sequence[str], coats: Sequence[int], densities: Sequence[float],
         codes: Sequence[str], schedules: Sequence[str] = ("uniform",), stored: Sequence[int] = (),
         batches: Sequence[int] = (1,), widths: Sequence[int] | None = None, columns: Sequence[int] | None = None,
         lanes: Sequence[int] | None = None, activation_bytes: Sequence[int] | None = None,
         mask_bytes: Sequence[int] | None = None) -> list[Point]:
    """All combinations, sorted; for None a network's or a preset's own value. Widths of ``stored`` weights, the
    baselines, meet all engines, networks and batches; schedule "released" the coats that it has, at its own density.

    Raises ValueError for a value that no design can have. Engines are not looked at: combinations that cannot be built
    are points, which fail.
    """
    for name, values, known in (("network", networks, NETWORKS), ("preset", presets, PRESETS), ("code", codes, CHOICES),
                                ("schedule", schedules, SCHEDULES), ("stored", stored, BITS)):
        for value in values:
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")
    for value in coats:
        if not 1 <= value <= MAX_COATS:
            raise ValueError(f"coats must be in 1..{MAX_COATS}, not {value}")
    for value in densities:
        if not 0 < value <= 1:
            raise ValueError(f"density must be above 0 and at most 1, not {value:g}")
    for name, values in ("width", widths or ()), ("batch", batches):
        for value in values:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
    weights = {(0, STORED, 1., STORED, bits) for bits in stored}
    for schedule in schedules:
        if schedule == "released":
            some = [count for count in coats if count <= len(RELEASED_DENSITIES)]
            if not some:
                raise ValueError(f"schedule released has 1 to {len(RELEASED_DENSITIES)} coats, none of those given")
            weights |= set(itertools.product(some, (schedule,), RELEASED_DENSITIES[:1], codes, (0,)))
        else:
            weights |= set(itertools.product(coats, (schedule,), densities, codes, (0,)))
    points = set()
    for network, preset in itertools.product(networks, presets):
        engine = PRESETS[preset]
        own = [network_topology(network).layers[0].out_channels]
        points |= {Point(**dict(zip(AXES, (*values, *one, batch)))) for *values, one, batch in itertools.product(
            (network,), widths or own, (preset,), columns or [engine.columns], lanes or [engine.lanes],
            activation_bytes or [engine.activation_bytes], mask_bytes or [engine.mask_bytes], weights, batches)}
    return sorted(points)


@dataclass(frozen=True)
class Column:
    """A column of the results. ``kind`` is str, int or float; ``unit`` is empty for names, 1 for ratios."""

    name: str
    kind: type
    unit: str
    description: str


@functools.cache
def area_targets() -> tuple[str, ...]:
    """Targets whose points are of the RTL as it is."""
    current = []
    for target in area_points.targets():
        try:
            area_points.load(target)
            current.append(target)
        except area_points.StalePoint:
            continue
    return tuple(current)


def _name(text: str) -> str:
    return text.replace("-", "_")


@functools.cache
def columns() -> tuple[Column, ...]:
    """The columns of the results: the inputs, the version of the model, what a point costs, and why it failed."""
    result = [
        Column("network", str, "", "name of the topology"),
        Column("width", int, "channels", "of the network's first stage"),
        Column("preset", str, "", "engine parameters that are not columns"),
        Column("columns", int, "output channels", "columns of the array"),
        Column("lanes", int, "multiply positions", "of a column"),
        Column("activation_bytes", int, "bytes", "on-chip activation memory"),
        Column("mask_bytes", int, "bytes", "on-chip buffer of coded masks; of stored weights the least"),
        Column("coats", int, "coats", "nested masks; 0 of stored weights"),
        Column("schedule", str, "", "how further densities follow from the first, or stored"),
        Column("density", float, "1", "kept fraction of the first coat; 1 of stored weights"),
        Column("code", str, "", "code of the coat indices, or best for the smallest in every layer, or stored"),
        Column("bits", int, "bits", "width of stored weights; 0 of coats"),
        Column("batch", int, "images", "of a run"),
        Column("model", str, "", "hash of the model that computed the row"),
        Column("main_code", str, "", "the code of most weights"),
        Column("weights", int, "weights", "of the network"),
        Column("macs", int, "MAC", "multiply-accumulates of a run"),
        Column("paper_bytes", float, "bytes", "masks by the formula of multicoated supermasks; stored weights"),
        Column("shannon_bytes", float, "bytes", "masks at the entropy's bound; stored weights"),
        Column("packed_bytes", int, "bytes", "coded masks, or stored weights, and normalisation in a packed file"),
        *(Column(f"dram_{stream}_bytes", int, "bytes", f"across the memory interface per run, stream {stream}")
          for stream in STREAMS),
        Column("dram_bytes", int, "bytes", "across the memory interface per run, all streams"),
        Column("floor_bytes", int, "bytes", "compulsory traffic of a run"),
        Column("cycles", int, "cycles", "of a run, with an ideal memory"),
        Column("utilisation", float, "1", "multiply-accumulates over multiply positions x cycles"),
    ]
    for target in area_targets():
        unit = "LUT" if target in FPGAS else "um2"
        for part in "total", "logic", "memory":
            result.append(Column(f"area_{_name(target)}_{part}_{unit.lower()}", float, unit,
                                 f"{part} on {target}; of stored weights without the weight path"))
        if target in FPGAS:
            result.append(Column(f"area_{_name(target)}_memory_blocks", int, "18-Kbit blocks", f"memories on {target}"))
    result += [Column("energy_low_pj", float, "pJ", "per run, least of all constant sets and DRAM costs"),
               Column("energy_high_pj", float, "pJ", "per run, most of all constant sets and DRAM costs")]
    result += [Column(f"energy_dram_{price:g}_pj", float, "pJ", f"per run, DRAM at {price:g} pJ/bit")
               for price in DRAM_PJ_PER_BIT]
    for chosen in default_sets():
        name = f"energy_{_name(chosen.name)}"
        result.append(Column(f"{name}_on_chip_pj", float, "pJ", f"per run, without DRAM, constants {chosen.name}"))
        result += [Column(f"{name}_dram_{price:g}_pj", float, "pJ",
                          f"per run, constants {chosen.name}, DRAM at {price:g} pJ/bit") for price in DRAM_PJ_PER_BIT]
    return (*result, Column("error", str, "", "why the point failed; null if it did not"))


@functools.cache
def model_hash() -> str:
    """What rows depend on besides their inputs: sources, constants, points of area. Rows of another are stale."""
    digest = hashlib.sha256(source_digest(__name__, ("arch", "compiler", "golden", "reports")).encode())
    for path in sorted((*CONSTANTS.glob("*.json"), *area_points.FOLDER.glob("*.json"))):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(repr(area_targets()).encode())
    return digest.hexdigest()[:16]


def failure(point: Point, error: str) -> dict:
    """The row of a point that failed."""
    return {**dict.fromkeys(column.name for column in columns()), **dataclasses.asdict(point), "model": model_hash(),
            "error": error}


def row(point: Point) -> dict:
    """The row of a point, by the names of :func:`columns`. Whatever fails becomes its ``error``."""
    try:
        return {**failure(point, ""), **_outputs(point), "error": None}
    except ValueError as error:  # the design is refused: these messages stand by themselves
        return failure(point, str(error))
    except Exception as error:
        return failure(point, f"{type(error).__name__}: {error}")


def _outputs(point: Point) -> dict:
    cost = costs(point.design())
    run = cost.estimate
    result = {
        "main_code": cost.code, "weights": cost.weights, "macs": run.macs, "paper_bytes": cost.paper_bytes,
        "shannon_bytes": run.shannon_bytes, "packed_bytes": cost.packed_bytes,
        **{f"dram_{name}": size for name, size in run.bytes.items()}, "dram_bytes": run.dram_bytes,
        "floor_bytes": cost.floor_bytes, "cycles": run.cycles, "utilisation": run.utilisation,
        "energy_low_pj": cost.energy.low.total_pj, "energy_high_pj": cost.energy.high.total_pj,
    }
    for target in area_targets():
        report, name = _area(cost.engine, target, not point.bits), f"area_{_name(target)}"
        for part, value in ("total", report.total), ("logic", report.logic.main), ("memory", report.memory):
            result[f"{name}_{part}_{report.unit.lower()}"] = value
        if target in FPGAS:
            result[f"{name}_memory_blocks"] = report.memory_blocks
    for energy in cost.energy.energies:
        name, price = f"energy_{_name(energy.costs.name)}", f"dram_{energy.dram_pj_per_bit:g}_pj"
        result |= {f"{name}_on_chip_pj": energy.on_chip_pj, f"{name}_{price}": energy.total_pj,
                   f"energy_{price}": energy.dram_pj}
    return result


@functools.lru_cache(maxsize=1024)
def _area(config: EngineConfig, target: str, weight_path: bool) -> AreaReport:
    return area(suited(config, target), target, weight_path=weight_path)


def evaluate(points: Iterable[Point], model: str) -> list[dict]:
    """Rows of points, where a worker runs. Raises RuntimeError if it has another model than ``model``."""
    if model_hash() != model:
        raise RuntimeError(f"workers run another version of Topcoat (model {model_hash()}, here {model}): install this "
                           f"one where they run, and start them again")
    return [row(point) for point in points]
