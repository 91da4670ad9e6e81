"""Synthesis points kept as JSON in ``reports/area/cache``, one file per target, and checked against the RTL.

Every point carries the SHA-256 of the Verilog it was synthesised from and a digest of the sources that this Verilog is
generated from: as long as that is the same, no Verilog need be generated to trust the point.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from golden.checkpoint import write_atomically
from reports.area.blocks import Sample, samples
from reports.area.library import Library
from reports.area.synthesis import CELLS, FPGAS, Point, sample_sources, sample_verilog, synthesise
from reports.tools import find_yosys, yosys_version

__all__ = ["FOLDER", "StalePoint", "TargetPoints", "load", "read", "renew", "targets"]

FOLDER = Path(__file__).parent / "cache"
"""Where the points of target T are: ``T.json``."""


class StalePoint(RuntimeError):
    """A cached point is missing or does not belong to the RTL as it is."""


@dataclass(frozen=True, kw_only=True)
class TargetPoints:
    """All points of a target, and where they come from."""

    target: str
    #: Name, version and commit of Yosys; version of Amaranth; the commands.
    tool: str
    amaranth: str
    flags: str
    #: Name and SHA-256 of the Liberty files; empty for an FPGA.
    liberty: dict[str, str]
    #: The smallest NAND2 and its square micrometres; those of an SRAM cell.
    nand2: str
    nand2_area: float
    sram_cell: float
    points: tuple[Point, ...]

    def of(self, block: str) -> list[Point]:
        """The points of one block."""
        return [point for point in self.points if point.sample.block == block]


def targets() -> list[str]:
    """Targets that have points."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "sram")


def _renewal(target: str) -> str:
    return f"`topcoat area --renew {target}{'' if target in FPGAS else ' --liberty FILE ...'}`"


def read(target: str) -> TargetPoints:
    """The points of a target as they are, of whatever RTL. Raises StalePoint if there are none."""
    path = FOLDER / f"{target}.json"
    if not path.exists():
        raise StalePoint(f"no points for target {target!r}: make them with {_renewal(target)}, or take one of "
                         f"{', '.join(targets())}")
    values = json.loads(path.read_text())
    return TargetPoints(**{**values, "points": tuple(map(Point.from_json, values["points"]))})


def _current(point: Point) -> bool:
    return point.sources == sample_sources(point.sample) or point.verilog == sample_verilog(point.sample)


@functools.cache
def load(target: str) -> TargetPoints:
    """The points of a target. Raises StalePoint, with how to renew it, for one that is missing or not of this RTL."""
    cached = read(target)
    known = {point.sample: point for point in cached.points}
    for sample in samples(registers=target not in FPGAS):
        point = known.get(sample)
        if point is None or not _current(point):
            raise StalePoint(f"area of {sample} on {target} is {'missing' if point is None else 'of other RTL'}: "
                             f"renew it with {_renewal(target)}")
    return cached


def renew(target: str, *, yosys: str | None = None, library: Library | None = None,
          progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter) -> TargetPoints:
    """Bring the points of a target up to date, writing the file after every one: those whose Verilog, Yosys, commands
    and Liberty files are the same stay. ``library`` is for a target that is no FPGA. Raises ValueError without it, and
    RuntimeError in the end for the first block that Yosys failed on.
    """
    if (library is None) != (target in FPGAS):
        raise ValueError(f"target {target} takes no Liberty files" if library
                         else f"target {target} needs its Liberty files: --liberty FILE ...")
    yosys = find_yosys(yosys)
    nand2, nand2_area = library.nand2() if library else ("", 0.)
    head = TargetPoints(
        target=target, tool=yosys_version(yosys), amaranth=importlib.metadata.version("amaranth"),
        flags=f"{CELLS} # dont_use {' '.join(library.dont_use)}" if library else FPGAS[target],
        liberty=library.digests() if library else {}, nand2=nand2, nand2_area=nand2_area,
        sram_cell=library.sram_cell if library else 0., points=())
    points = {}
    if (FOLDER / f"{target}.json").exists():
        cached = read(target)
        if dataclasses.replace(cached, points=(), amaranth=head.amaranth) == head:
            points = {point.sample: point for point in cached.points}
    wanted, failures = samples(registers=library is not None), []
    for sample in progress(wanted):
        point = points.pop(sample, None)
        try:
            if point is None or not _current(point):
                point = synthesise(sample, target, yosys=yosys, library=library)
            points[sample] = dataclasses.replace(point, sources=sample_sources(sample))
        except RuntimeError as error:
            failures.append(error)
        _write(head, [points[sample] for sample in wanted if sample in points])
    load.cache_clear()
    if failures:
        raise failures[0]
    return read(target)


def _write(head: TargetPoints, points: list[Point]):
    """One line per point: a change of one is seen as such."""
    values = {name: value for name, value in vars(head).items() if name != "points"}
    lines = ",\n".join(json.dumps(point.to_json()) for point in points)
    text = json.dumps(values, indent=1)[:-2] + f',\n "points": [\n{lines}\n]}}\n'
    write_atomically(FOLDER / f"{head.target}.json", lambda temporary: temporary.write_text(text))
