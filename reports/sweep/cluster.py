"""Work on a Dask cluster: one that starts here, or one at an address.

Workers get small chunks, one at a time and as far as possible from a group of their own, whose work they share. What
a worker that dies was given goes to another one; a point that takes workers with it again and again is given up.
"""

from __future__ import annotations

import contextlib
import logging
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from distributed import Client, Future, LocalCluster, wait
from distributed.scheduler import KilledWorker

_CHUNK_SECONDS = 2.
"""Work in a chunk, about: what a stop loses of each worker."""

_MOST = 64
"""Points in a chunk."""

_LOOK_SECONDS = 2.
"""How often workers are counted while all of them work."""

_CONNECT_SECONDS = 10


@contextlib.contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """A client of the scheduler at ``scheduler``, or of a cluster of ``workers`` processes (one per core if None) on this
    machine, which ends with it. Raises ValueError if nothing answers at the address."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it reports of workers that come and go is handled here
    try:
        if scheduler is None:
            with (LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0,
                               silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client):
                yield client
        else:
            try:
                client = Client(scheduler, timeout=_CONNECT_SECONDS)
            except (OSError, ValueError) as error:
                raise ValueError(f"no scheduler answers at {scheduler}: start one with `dask scheduler`, and workers "
                                 f"with `dask worker {scheduler} --nthreads 1`") from error
            with client:
                yield client
    finally:
        logger.setLevel(level)


class _Queue:
    """What is left to do, by group."""

    def __init__(self, groups: Mapping[Hashable, Sequence]):
        self._left = {group: deque(items) for group, items in groups.items()}
        self._group: dict[str, Hashable] = {}
        #: Items that were in a chunk when a worker died too often: one at a time.
        self._suspects: deque = deque()
        self._seconds: dict[Hashable, float] = {}

    def __bool__(self) -> bool:
        return bool(self._left or self._suspects)

    def take(self, worker: str, workers: Sequence[str]) -> tuple[Hashable, list]:
        """The next chunk for ``worker``, of ``workers``, and its group: its own group's, else that of nobody with the
        most left, else of all."""
        if not self._left:
            return None, [self._suspects.popleft()]
        group = self._group.get(worker)
        if group not in self._left:
            taken = {self._group.get(other) for other in workers}
            group = max(self._left, key=lambda one: (one not in taken, len(self._left[one])))
            self._group[worker] = group
        left = self._left[group]
        size = int(_CHUNK_SECONDS / self._seconds[group]) if group in self._seconds else 2
        chunk = [left.popleft() for _ in range(min(len(left), max(size, 1), _MOST))]
        if not left:
            del self._left[group]
        return group, chunk

    def took(self, group: Hashable, items: int, seconds: float):
        """A chunk of ``group`` is done."""
        self._seconds[group] = max(seconds / items, 1e-6)

    def suspect(self, chunk: list):
        """Try again, one by one and last."""
        self._suspects.extend(chunk)


def compute(client: Client, groups: Mapping[Hashable, Sequence], function: Callable[[list], list],
            killed: Callable[[object, str], object], *, patience: float = 60.) -> Iterator[list]:
    """Results of ``function`` over chunks of the items in ``groups``, as they come, one list per chunk.

    ``killed(item, why)`` is the result of an item that more workers died of than Dask allows
    (``distributed.scheduler.allowed-failures``). Raises RuntimeError when there is no worker for ``patience`` seconds,
    when the scheduler goes away, and for whatever ``function`` raises.
    """
    queue, running, alone = _Queue(groups), {}, time.monotonic()
    try:
        while queue or running:
            workers = list(client.nthreads())
            if workers:
                alone = time.monotonic()
            elif time.monotonic() > alone + patience:
                raise RuntimeError(f"no worker at {client.scheduler.address} for {patience:g} s: start some with `dask "
                                   f"worker {client.scheduler.address} --nthreads 1`; the same command continues")
            busy = {worker for worker, *_ in running.values()}
            for worker in workers:
                if worker not in busy and queue:
                    group, chunk = queue.take(worker, workers)
                    future = client.submit(function, chunk, workers=[worker], allow_other_workers=True, pure=False)
                    running[future] = worker, group, chunk, time.monotonic()
            for future in _done(running):
                _, group, chunk, start = running.pop(future)
                error = future.exception()
                if error is None:
                    queue.took(group, len(chunk), time.monotonic() - start)
                    yield future.result()
                elif not isinstance(error, KilledWorker):
                    raise RuntimeError(_reason(error)) from error
                elif len(chunk) > 1:
                    queue.suspect(chunk)
                else:
                    yield [killed(chunk[0], f"{error.allowed_failures + 1} workers died while computing this point")]
    except (OSError, CancelledError) as error:
        raise RuntimeError(f"the scheduler went away ({error}): the same command continues") from error


def _done(running: Mapping[Future, tuple]) -> Sequence[Future]:
    """Futures that are done, after a while even if there are none."""
    if not running:
        time.sleep(.1)
        return ()
    try:
        return tuple(wait(list(running), timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return ()


def _reason(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return f"workers cannot import Topcoat ({error}): install this version where they run"
    return str(error) or type(error).__name__
