"""The workers of a Dask scheduler as an executor. The only file that imports ``distributed``."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numbacnn.errors import DeviceError
from numbacnn.quoting import counted

from .executors import Ended
from .sweep_job import Job, work

TIMEOUT = 10
"""Seconds that a scheduler may take to answer."""

UNDER_WAY = ("executing", "long-running")
"""States of a task, on its worker, whose result somebody waits for."""


class DaskWorkers:
    """All workers of a scheduler, each of which does as many trainings at the same time as it has threads.

    Args:
        scheduler: its address, such as ``tcp://head:8786``.
        threads: of each training.

    Raises:
        DeviceError: ``distributed`` is not installed, or no scheduler answers.
    """

    def __init__(self, scheduler: str, threads: int):
        try:
            from distributed import Client
        except ImportError:
            raise DeviceError(
                "--executor dask: expected the package distributed, got none. Install it: pip install 'numbacnn[dask]'"
            ) from None
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is told as the reason of a run
        try:
            self._client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise DeviceError(
                f"{scheduler}: expected a Dask scheduler, got {str(error) or 'no answer'}. Start one with 'dask scheduler', "
                "and give its address with --scheduler"
            ) from None
        self._scheduler, self._threads = scheduler, threads
        self._jobs: dict[Any, Job] = {}

    @property
    def description(self) -> str:
        workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return f"{counted(workers, 'worker')} of the Dask scheduler {self._scheduler}"

    def submit(self, jobs: Sequence[Job], said: Callable[[Job, str], object]) -> None:
        self._jobs = {self._client.submit(_on_worker, job, self._threads, pure=False): job for job in jobs}

    def ended(self) -> Iterator[Ended]:
        from distributed import as_completed

        for future in as_completed(list(self._jobs), loop=self._client.loop):
            yield Ended(self._jobs[future], _reason(future))

    def cancel(self) -> None:
        """A worker sees that nobody waits for its training any more, also if this process is killed."""
        for future in self._jobs:
            future.release()
        self._client.close(timeout=1)


def _reason(future: Any) -> str | None:
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    said = "the scheduler has lost it" if error is None else f"its worker failed: {type(error).__name__}: {error}"
    return f"{said}. The same command goes on with it"


def _on_worker(job: Job, threads: int) -> str | None:
    """Train, on a worker. Dask cannot interrupt a task; so the task looks whether it is still wanted."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in UNDER_WAY and worker.status.name == "running"

    return work(job, threads, is_wanted)
