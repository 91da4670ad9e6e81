"""The folder of a sweep: rows as they come in, in small files written whole, and all of them sorted in one in the end.

``results.parquet`` and ``parts/*.parquet`` have the same columns. Killed at any time, the folder is a valid state of
the sweep: what is in a file is done, and a row that two files have is the same in both.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from golden.checkpoint import write_atomically
from reports.sweep.points import AXES, Point, columns, model_hash

RESULTS = "results.parquet"

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
        #: Points that only another model has computed.
        self.stale: set[Point] = set()
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
                    point = Point(**{name: row[name] for name in AXES})
                    if row["model"] == model_hash():
                        self.rows[point] = row
                    else:
                        self.stale.add(point)
        self.stale -= self.rows.keys()

    @staticmethod
    def _rows(path: Path) -> list[dict]:
        try:
            # One thread: rows in their order, and no pool that outlives the call.
            table = parquet.ParquetFile(path).read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}): delete it, its points are "
                             f"computed again") from error
        if not {*AXES, "model"} <= set(table.column_names):
            raise ValueError(f"{path} was not written by this version's `topcoat sweep`: name another folder")
        return table.to_pylist()

    def add(self, rows: Iterable[dict]):
        """Keep rows: on disk when this returns."""
        rows = list(rows)
        new = {Point(**{name: row[name] for name in AXES}): row for row in rows}
        name = hashlib.sha256(repr((model_hash(), sorted(new))).encode()).hexdigest()[:16]
        self._write(self._parts / f"{name}.parquet", rows)
        self.rows |= new
        self.stale -= new.keys()

    def merge(self) -> Path:
        """Write all rows, sorted, to ``results.parquet`` and return its path; parts are not needed any more."""
        path = self.folder / RESULTS
        self._write(path, [self.rows[point] for point in sorted(self.rows)])
        for part in self._parts.glob("*.parquet"):
            part.unlink()
        return path

    @staticmethod
    def _write(path: Path, rows: list[dict]):
        table = pa.Table.from_pylist(rows, schema())
        write_atomically(path, lambda temporary: parquet.write_table(
            table, temporary, compression="zstd", row_group_size=max(len(rows), 1)))
