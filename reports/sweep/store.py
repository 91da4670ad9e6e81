"""The folder of a sweep: rows as they come in, in small files written whole, and all of them sorted in one in the end.

``results.parquet`` and ``parts/*.parquet`` have the same columns. Killed at any time, the folder is a valid state of
the sweep: what is in a file is done, and a row that two files have is the same in both.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from golden.checkpoint import write_atomically
from reports.sweep.points import AXES, Point, columns, failure, model_hash

RESULTS = "results.parquet"

STALE = "computed by another version of the model: `topcoat sweep --stale` computes it again"
"""Error of rows that :meth:`Store.merge` finds stale."""

_REQUIRED = tuple(field.name for field in dataclasses.fields(Point) if field.default is dataclasses.MISSING)
"""Axes that every sweep's files have."""

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def schema() -> pa.Schema:
    """Columns of the results; unit and description are metadata of the fields."""
    return pa.schema([pa.field(column.name, _TYPES[column.kind],
                               metadata={"unit": column.unit, "description": column.description})
                      for column in columns()])


class Store:
    """Results in ``folder``. Use as a context manager: while it is open, no other process can open it.

    Raises ValueError for a folder that another process has open, and for files that no sweep wrote.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        #: Rows of the model as it is.
        self.rows: dict[Point, dict] = {}
        #: Points that only another model has computed, with that model.
        self.stale: dict[Point, str] = {}
        self._parts = self.folder / "parts"
        self._lock = None

    def __enter__(self) -> Store:
        self._parts.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / ".lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ValueError(f"another sweep is writing to {self.folder}: wait for it, or name another "
                             f"folder") from None
        self.read()
        return self

    def __exit__(self, *_):
        self._lock.close()

    def read(self):
        """Take in what is in the folder."""
        for path in (self.folder / RESULTS, *sorted(self._parts.glob("*.parquet"))):
            if path.exists():
                for row in self._rows(path):
                    # Files of a sweep that knew fewer axes: their default values.
                    point = Point(**{name: row[name] for name in AXES if name in row})
                    if row["model"] == model_hash():
                        self.rows[point] = row
                    else:
                        self.stale[point] = row["model"]
        self._forget(self.rows)

    def _forget(self, points: Iterable[Point]):
        for point in points:
            self.stale.pop(point, None)

    @staticmethod
    def _rows(path: Path) -> list[dict]:
        try:
            # One thread: rows in their order, and no pool that outlives the call.
            table = parquet.ParquetFile(path).read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}): delete it, its points are "
                             f"computed again") from error
        if not {*_REQUIRED, "model"} <= set(table.column_names):
            raise ValueError(f"{path} was not written by this version's `topcoat sweep`: name another folder")
        return table.to_pylist()

    def add(self, rows: Iterable[dict]):
        """Keep rows: on disk when this returns."""
        rows = list(rows)
        new = {Point(**{name: row[name] for name in AXES}): row for row in rows}
        name = hashlib.sha256(repr((model_hash(), sorted(new))).encode()).hexdigest()[:16]
        self._write(self._parts / f"{name}.parquet", rows)
        self.rows |= new
        self._forget(new)

    def merge(self) -> Path:
        """Write all rows, sorted, to ``results.parquet`` and return its path; parts are not needed any more. Of a stale
        row the inputs stay, and its model; its values, which this one does not confirm, become an error."""
        path, rows = self.folder / RESULTS, dict(self.rows)
        for point, model in self.stale.items():
            rows[point] = failure(point, STALE) | {"model": model}
        self._write(path, [rows[point] for point in sorted(rows)])
        for part in self._parts.glob("*.parquet"):
            part.unlink()
        return path

    @staticmethod
    def _write(path: Path, rows: list[dict]):
        table = pa.Table.from_pylist(rows, schema())
        write_atomically(path, lambda temporary: parquet.write_table(
            table, temporary, compression="zstd", row_group_size=max(len(rows), 1)))
