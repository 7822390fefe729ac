"""`eqverify bench`."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from eqverify.bench.options import BenchOptions
from eqverify.cli.commands.shared import Json, print_json, require_outputs
from eqverify.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from eqverify.bench.instances import Instance, Key, Row
    from eqverify.bench.page import Runs
    from eqverify.bench.running import Settings
    from eqverify.bench.scoring import Score
    from eqverify.bench.sweep import Pool

    Found: TypeAlias = tuple[list[Instance], Runs, Mapping[Key, str], Mapping[str, Mapping[Key, Mapping[str, Any]]]]


def bench(
    *lists: Path,
    output: Annotated[Path, Parameter(alias="-o")],
    with_reduction: Annotated[bool, Parameter(negative="")] = False,
    without_reduction: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[BenchOptions, Parameter(name="*", negative_iterable=(), negative_bool=())] = BenchOptions(),
    report_only: Annotated[bool, Parameter(negative="")] = False,
    junit: Path | None = None,
    json: Json = False,
) -> int:
    """Run `verify` on lists of instances; a sweep that was interrupted goes on where it was.

    For example

        eqverify bench folder/instances.csv -o results --with-reduction --without-reduction --match "*256x2* *"

    Results go to the output folder: one CSV file per run in the competition's format, what runs said besides (.jsonl),
    and report.html with sums, plots and all instances.  With --report-only the page is made of the results in the
    folder; lists are then needed only for expected verdicts.

    Parameters
    ----------
    lists:
        Files instances.csv, as in the folders of the competition's benchmarks.
    output:
        Folder for results.
    with_reduction:
        Run with reduction; the default if neither is named.
    without_reduction:
        Run without reduction.
    options:
        Which instances, how, and where.
    report_only:
        Run nothing; make report.html of all results in the output folder.
    junit:
        Also write the results as JUnit's XML, for systems for continuous integration: a wrong verdict or a rejected
        proof is a failure, what has no verdict in time is skipped.
    json:
        Print one JSON object instead of lines.
    """
    from eqverify.bench.instances import read_details, read_expected, read_instances, recorded_instances
    from eqverify.bench.scoring import score
    from eqverify.files import make_folder, sole_writer, write_files

    if not lists and not report_only:
        raise UsageError(
            "usage/instances", "no list of instances is given", hint="eqverify bench INSTANCES.csv -o FOLDER"
        )
    listed = [instance for path in lists for instance in read_instances(path, options.timeout)]
    instances = _matching(listed, options.match)
    both = with_reduction == without_reduction
    modes = [True, False] if with_reduction and both else [not without_reduction or with_reduction]
    make_folder(output)
    page = output / "report.html"
    require_outputs({"--output": page, "--junit": junit}, lists)
    with sole_writer(page):
        runs, files = _recorded(output) if report_only else _swept(instances, output, modes, options)
        details = {name: read_details(path.with_suffix(".jsonl")) for name, path in files.items()}
        instances = recorded_instances(details) if report_only else instances
        expected = read_expected(listed)
        sums = {name: score(instances, rows, expected) for name, rows in runs.items()}
        write_files(_reports(page, junit, (instances, runs, expected, details)))
    if json:
        told = {name: {**asdict(s), "wrong": [list(key) for key in s.wrong]} for name, s in sums.items()}
        print_json("bench", {"runs": told})
    else:
        _print(sums)
    return _status(sums)


def _recorded(output: Path) -> tuple[Runs, dict[str, Path]]:
    """The results in a folder, and their files, by the files' names."""
    from eqverify.bench.instances import read_results

    files = {path.stem: path for path in sorted(output.glob("*.csv"))}
    return {name: read_results(path) for name, path in files.items()}, files


def _swept(
    instances: list[Instance], output: Path, modes: list[bool], options: BenchOptions
) -> tuple[Runs, dict[str, Path]]:
    """The results of what is run, and their files, by the runs' names."""
    from eqverify.bench.sweep import run_sweep

    settings = {_run_name(one): one for one in _settings(options, modes)}
    files = {name: output / f"{_file_name(one)}.csv" for name, one in settings.items()}
    pool = _pool(options)
    with _interruptible(output):
        runs = {name: run_sweep(instances, one, files[name], pool, _report) for name, one in settings.items()}
    return runs, files


def _reports(page: Path, junit: Path | None, found: Found) -> dict[Path, bytes | str]:
    """The page, and the XML where one is wanted."""
    from eqverify.bench.cases import sweep_cases
    from eqverify.bench.page import sweep_page
    from eqverify.report.junit import junit as junit_xml

    command = shlex.join(["eqverify", *sys.argv[1:]])
    return {page: sweep_page(*found, command), **({junit: junit_xml(sweep_cases(*found))} if junit else {})}


def _settings(options: BenchOptions, modes: list[bool]) -> list[Settings]:
    """One for each mode, with or without reduction; each keeps its proofs in a folder of its own."""
    from eqverify.bench.running import Settings

    facts = None if options.facts is None else str(options.facts.absolute())
    own = None if options.workers == 1 and options.scheduler is None else 1
    settings = [
        Settings(options.backend, reduction, options.seed, own, options.believed, warm=options.warm, facts=facts)
        for reduction in modes
    ]
    if options.proofs is None:
        return settings
    folder = options.proofs.absolute()
    return [replace(one, proofs=str(folder / _file_name(one))) for one in settings]


def _print(sums: dict[str, Score]) -> None:
    for name, s in sums.items():
        found = f"{s.solved} of {s.instances} solved, {len(s.wrong)} wrong, {s.claimed} claimed"
        print(f"{name}: {found}, PAR-2 {s.par2:.2f} s")
        if s.proofs is not None:
            print(f"{name}: {s.proofs}")


def _status(sums: dict[str, Score]) -> int:
    """The exit status, that of an error where a verdict is wrong, or a proof; stderr says which."""
    wrong = ["/".join(key) for s in sums.values() for key in s.wrong]
    rejected = ["/".join(key) for s in sums.values() if s.proofs is not None for key in s.proofs.rejected]
    if wrong:
        value = ", ".join(wrong)
        print(RejectedError("bench/wrong", "verdicts differ from the expected ones", value=value), file=sys.stderr)
    if rejected:
        value = ", ".join(rejected)
        print(RejectedError("bench/rejected", "proofs of verdicts are rejected", value=value), file=sys.stderr)
    return RejectedError.exit_status if wrong or rejected else 0


def _matching(listed: list[Instance], pattern: str) -> list[Instance]:
    """Those whose names match.

    Raises:
        UsageError: `bench/no-match`.
    """
    instances = [instance for instance in listed if fnmatchcase(f"{instance.network} {instance.query}", pattern)]
    if listed and not instances:
        raise UsageError(
            "bench/no-match",
            "no instance matches the pattern",
            value=pattern,
            hint=f'it must match the whole of "NETWORK PROPERTY", such as "{listed[0].network} {listed[0].query}": '
            "put * where anything may stand",
        )
    return instances


@contextmanager
def _interruptible(output: Path) -> Iterator[None]:
    """End as Ctrl-C does where the process is told to end, and say what is kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"results are in {output}, and the same command goes on from there") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _pool(options: BenchOptions) -> Pool:
    if options.scheduler is not None:
        from eqverify.bench.cluster import DaskPool

        return DaskPool(options.scheduler)
    if options.workers < 1:
        raise UsageError("usage/workers", "workers must be at least 1", value=options.workers)
    from eqverify.bench.sweep import LocalPool

    return LocalPool(options.workers)


def _run_name(settings: Settings) -> str:
    trusted = f", trusting {','.join(sorted(settings.trust))}" if settings.trust else ""
    proofs = "" if settings.proofs is None else ", with proofs"
    more = (", warm" if settings.warm else "") + ("" if settings.facts is None else ", with facts")
    return f"{settings.backend}, {'with' if settings.reduction else 'without'} reduction{trusted}{proofs}{more}"


def _file_name(settings: Settings) -> str:
    from eqverify.files import plain_name

    trusted = f"-trusting-{plain_name(','.join(sorted(settings.trust)))}" if settings.trust else ""
    proofs = "" if settings.proofs is None else "-proofs"
    more = ("-warm" if settings.warm else "") + ("" if settings.facts is None else "-facts")
    return f"{plain_name(settings.backend)}-{'with' if settings.reduction else 'without'}{trusted}{proofs}{more}"


def _report(row: Row, done: int, total: int, left: float) -> None:
    print(
        f"{done}/{total} {' '.join(row.key)}: {row.result} {row.seconds:.2f} s; about {left / 60:.0f} min left",
        file=sys.stderr,
        flush=True,
    )
