"""A sweep on a Dask cluster (extra ``distributed``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from eqverify.bench.instances import Instance
from eqverify.bench.running import Outcome, Settings, run_instance
from eqverify.errors import LimitError, UsageError

_RETRIES = 5


class DaskPool:
    """Runs instances on the workers of a scheduler; those of a worker that is lost are run again elsewhere.

    Results come back here and are written here, once per instance: the task of an instance has a name of its own.

    Args:
        address: of the scheduler, such as ``tcp://host:8786``.

    Raises:
        UsageError: `usage/scheduler` where dask.distributed is missing or the scheduler does not answer.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise UsageError(
                "usage/scheduler", "dask.distributed is not installed", hint="pip install 'eqverify[distributed]'"
            ) from None
        try:
            self.client = Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise UsageError(
                "usage/scheduler", "the scheduler does not answer", value=address, hint="is the address right?"
            ) from error
        self.workers = max(1, sum(self.client.nthreads().values()))

    def _submit(self, instance: Instance, settings: Settings) -> Any:
        name = f"{'/'.join(instance.key)}-{settings}"
        return self.client.submit(run_instance, instance, settings, key=name, retries=_RETRIES, pure=False)

    def outcomes(self, instances: Iterable[Instance], settings: Settings) -> Iterator[Outcome]:
        """As `Pool.outcomes`.

        Raises:
            LimitError: `bench/workers-lost` where an instance lost its worker again and again; what came before is
                kept, and a later sweep tries it again.
        """
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        futures = {self._submit(instance, settings): instance for instance in instances}
        lost: list[str] = []
        for future in as_completed(list(futures)):
            try:
                yield future.result()
            except KilledWorker:
                lost.append("/".join(futures[future].key))
        if lost:
            raise LimitError(
                "bench/workers-lost",
                "instances lost their workers again and again",
                value=", ".join(lost[:5]),
                hint="perhaps the workers have too little memory; run the sweep again for what is missing",
            )
