"""A sweep on a real cluster of processes, one of which is killed while it works."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from eqverify.bench import cluster as cluster_module
from eqverify.bench.cluster import DaskPool
from eqverify.bench.instances import Row, read_instances, read_results
from eqverify.bench.running import Outcome, Settings
from eqverify.bench.sweep import run_sweep
from eqverify.errors import UsageError

from .bench_helpers import VERDICTS, benchmark


def slow_instance(instance, settings):
    """Stands for `run_instance`: notes the process that runs it, and takes its time."""
    from pathlib import Path

    with (Path(instance.folder) / "started").open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    time.sleep(1.5)
    name = instance.query.removeprefix("vnnlib/").removesuffix(".vnnlib")
    return Outcome(Row(instance.key, 0.0, VERDICTS[name], 1.5), {"pid": os.getpid()})


@pytest.mark.slow
def test_a_lost_worker_loses_and_doubles_nothing(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster_module, "run_instance", slow_instance)
    instances = read_instances(benchmark(tmp_path / "family"))
    started = tmp_path / "family" / "started"

    def kill_the_first():
        while not started.is_file() or not started.read_text().endswith("\n"):
            time.sleep(0.05)
        os.kill(int(started.read_text().split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        killer.start()
        results = tmp_path / "r.csv"
        pool = DaskPool(local.scheduler_address)
        rows = run_sweep(instances, Settings("scip", True), results, pool, lambda *_: None)
        pool.client.close()
        killer.join()
    assert len(rows) == 4
    assert len(started.read_text().split()) > 4
    assert len(results.read_text().splitlines()) == 4
    assert {row.result for row in read_results(results).values()} == {"sat", "unsat"}


def test_a_scheduler_that_is_not_there_is_a_usage_error(monkeypatch):
    def refuse(*_, **__):
        raise OSError

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=refuse))
    with pytest.raises(UsageError, match="usage/scheduler"):
        DaskPool("tcp://127.0.0.1:1")
