"""A sweep: instances that have no result yet, one after the other or several at a time; results are kept at once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

from eqverify.bench.instances import Instance, Key, Row, read_details, read_results
from eqverify.bench.running import Outcome, Settings, run_instance
from eqverify.errors import Place, UsageError
from eqverify.files import not_writable, sole_writer


class Pool(Protocol):
    """Runs instances somewhere, and yields outcomes as they come."""

    workers: int

    def outcomes(self, instances: Iterable[Instance], settings: Settings) -> Iterator[Outcome]:
        """The outcome of each instance, in any order."""


class LocalPool:
    """Runs instances in processes of this machine.

    Args:
        workers: how many at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def outcomes(self, instances: Iterable[Instance], settings: Settings) -> Iterator[Outcome]:
        """As `Pool.outcomes`; threads only wait for the processes, which end with the sweep."""
        threads, stop = ThreadPoolExecutor(self.workers), threading.Event()
        try:
            futures = [threads.submit(run_instance, instance, settings, stop) for instance in instances]
            for future in as_completed(futures):
                yield future.result()
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)


Report = Callable[[Row, int, int, float], None]
"""Told of each result: the row, how many are done, how many there are, and the seconds left as measured so far."""


def run_sweep(
    instances: list[Instance], settings: Settings, results: Path, pool: Pool, report: Report
) -> dict[Key, Row]:
    """Run what has no result yet.

    Args:
        instances: what to run.
        settings: how.
        results: CSV file in the competition's format; read first, and appended to.  What else runs said goes to a file
            beside it, ``.jsonl``.
        pool: where.
        report: told of each result.

    Returns:
        The results of all instances.

    Raises:
        UsageError: `bench/other-limit`: a result that is there is of another time limit; `files/locked`: another run
            writes to the results; `files/not-writable`.
    """
    with sole_writer(results):
        return _run_sweep(instances, settings, results, pool, report)


def _run_sweep(
    instances: list[Instance], settings: Settings, results: Path, pool: Pool, report: Report
) -> dict[Key, Row]:
    known = read_results(results)
    _mend(results)
    _mend(results.with_suffix(".jsonl"))
    limits = {instance.key: instance.timeout for instance in instances}
    _check_limits(results.with_suffix(".jsonl"), limits)
    todo = [instance for instance in instances if instance.key not in known]
    start, done = time.monotonic(), len(instances) - len(todo)
    already = done
    for outcome in pool.outcomes(todo, settings):
        if outcome.row.key in known:
            continue
        known[outcome.row.key] = outcome.row
        entry = {"key": outcome.row.key, "limit": limits[outcome.row.key], **outcome.details}
        _append(results.with_suffix(".jsonl"), json.dumps(entry) + "\n")
        _append(results, outcome.row.line())
        done += 1
        pace = (time.monotonic() - start) / (done - already)
        report(outcome.row, done, len(instances), pace * (len(instances) - done))
    return {instance.key: known[instance.key] for instance in instances if instance.key in known}


def _check_limits(path: Path, limits: dict[Key, float]) -> None:
    """Results of two limits are no sweep; those that do not say theirs are believed to be right."""
    for key, details in read_details(path).items():
        limit = details.get("limit", limits.get(key))
        if key in limits and limit != limits[key]:
            raise UsageError(
                "bench/other-limit",
                "a result that is there is of another time limit",
                place=Place(file=str(path)),
                value=f"{limit} s instead of {limits[key]} s for {', '.join(key)}",
                hint="give another folder, or the limit of before",
            )


def _mend(path: Path) -> None:
    """Cut off a torn last line, so that the next one does not join it."""
    if path.is_file():
        data = path.read_bytes()
        complete = data.rfind(b"\n") + 1
        if complete < len(data):
            with path.open("r+b") as stream:
                stream.truncate(complete)


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise not_writable(path, error) from error
