"""Work on a Dask cluster: one that starts here, or one at an address.

Workers get small chunks, one at a time and as far as possible from a group of their own, whose work they share. What
a worker that dies was given goes to another one; a point that workers keep dying of is given up.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from asyncio import CancelledError
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from distributed import Client, Future, LocalCluster, WorkerPlugin, wait
from distributed.scheduler import KilledWorker

_CHUNK_SECONDS = 2.
"""Work in a chunk, about: what a stop loses of each worker."""

_MOST = 64
"""Points in a chunk."""

_LOOK_SECONDS = .5
"""How often workers are counted while all of them work."""

_CONNECT_SECONDS = 5

_RESULT_SECONDS = 30


class _IgnoreInterrupts(WorkerPlugin):
    """Ctrl-C reaches all processes of a terminal: this one ends the workers, they need not."""

    def setup(self, worker):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """A client of the scheduler at ``scheduler``, or of a cluster of ``workers`` processes (one per core if None) on
    this machine, which ends with it. Raises ValueError if nothing answers at the address."""
    levels = {logger: logger.level for logger in map(logging.getLogger, ("distributed", "distributed.client"))}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)  # what they report of workers that come and go is handled here
    try:
        if scheduler is None:
            with (LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0,
                               silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client):
                client.register_plugin(_IgnoreInterrupts())
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
        for logger, level in levels.items():
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
            killed: Callable[[object, str], object], *, deaths: int = 3, patience: float = 60.) -> Iterator[list]:
    """Results of ``function`` over chunks of the items in ``groups``, as they come, one list per chunk.

    ``killed(item, why)`` is the result of an item at which, alone, ``deaths`` workers died. Raises RuntimeError when
    there is no worker for ``patience`` seconds, when the scheduler goes away, and for whatever ``function`` raises.
    """
    queue, running, alone = _Queue(groups), {}, time.monotonic()
    died: Counter = Counter()
    try:
        while queue or running:
            workers = list(client.nthreads())
            if workers:
                alone = time.monotonic()
            elif time.monotonic() > alone + patience:
                raise RuntimeError(f"no worker at {client.scheduler.address} for {patience:g} s: start some with `dask "
                                   f"worker {client.scheduler.address} --nthreads 1`; the same command continues")
            # Pinned to its worker, a chunk ends with it. Left to Dask, one whose last worker has died waits for ever.
            lost = [future for future, (worker, *_) in running.items() if worker not in workers]
            busy = {worker for worker, *_ in running.values()}
            for worker in workers:
                if worker not in busy and queue:
                    group, chunk = queue.take(worker, workers)
                    future = client.submit(function, chunk, workers=[worker], pure=False)
                    running[future] = worker, group, chunk, time.monotonic()
            for future in lost or _done(running):
                _, group, chunk, start = running.pop(future)
                found = None if future in lost else _result(future)
                if found is not None:
                    queue.took(group, len(chunk), time.monotonic() - start)
                    yield found
                    continue
                future.cancel()
                if len(chunk) == 1:
                    died[chunk[0]] += 1
                if len(chunk) == 1 and died[chunk[0]] == deaths:
                    yield [killed(chunk[0], f"{deaths} workers died while they computed this point")]
                else:
                    queue.suspect(chunk)
    except (OSError, CancelledError) as error:
        raise RuntimeError("the scheduler went away: the same command continues") from error


def _result(future: Future) -> list | None:
    """What a future that is done returned; None if that was lost with its worker. Raises RuntimeError for what it
    raised."""
    try:
        return future.result(timeout=_RESULT_SECONDS)
    except (KilledWorker, TimeoutError):
        return None
    except (OSError, CancelledError):
        raise
    except ImportError as error:
        raise RuntimeError(f"workers cannot import Topcoat ({error}): install this version where they run") from error
    except Exception as error:
        raise RuntimeError(str(error) or type(error).__name__) from error


def _done(running: Mapping[Future, tuple]) -> Sequence[Future]:
    """Futures that are done, after a while even if there are none."""
    if not running:
        time.sleep(.1)
        return ()
    try:
        return tuple(wait(list(running), timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return ()
