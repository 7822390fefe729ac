"""Instances and expected verdicts, as the competition lists them; results, as it writes them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eqverify.errors import InputError, Place, UsageError
from eqverify.files import beside

Key = tuple[str, str, str]
"""Category, network and property, as listed."""

SOLVED = ("sat", "unsat")
RESULTS = (*SOLVED, "unknown", "timeout", "error")


@dataclass(frozen=True, slots=True)
class Instance:
    """One line of ``instances.csv``.

    Attributes:
        category: name of the folder with the list.
        network: path in that folder, as listed.
        query: likewise.
        timeout: seconds.
        folder: where the list is.
    """

    category: str
    network: str
    query: str
    timeout: float
    folder: str

    @property
    def key(self) -> Key:
        """What identifies it in results."""
        return self.category, self.network, self.query

    def path(self, name: str) -> Path:
        """A listed file, which may be stored with gzip.

        Raises:
            UsageError: `bench/no-file`.
        """
        for path in (Path(self.folder) / name, Path(self.folder) / f"{name}.gz"):
            if path.is_file():
                return path
        raise UsageError("bench/no-file", "a listed file is not there", value=str(Path(self.folder) / name))


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of a verdict, and what `eqverify check` says of it.

    Attributes:
        size: bytes.
        seconds: wall time of the check, a process of its own.
        verdict: what that says, "verified sat", "verified unsat" or "rejected CODE", or why it says nothing.
    """

    size: int
    seconds: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Row:
    """A result in the competition's format, and four columns more.

    Attributes:
        key: of the instance.
        prepare: seconds for finding the files.
        result: one of `RESULTS`.
        seconds: wall time of the run.
        claimed: disjuncts that a solver calls unsat and nothing else does; None where that is not known.
        proof: of the result, where one was written.
    """

    key: Key
    prepare: float
    result: str
    seconds: float
    claimed: int | None = None
    proof: Proof | None = None

    @property
    def proved(self) -> bool | None:
        """Whether a proof of this very result is verified; None where `check` says nothing."""
        if self.proof is None or not self.proof.verdict.startswith(("verified ", "rejected ")):
            return None
        return self.proof.verdict == f"verified {self.result}"

    def line(self) -> str:
        """As a line of a CSV file."""
        stream = io.StringIO()
        fields = [*self.key, f"{self.prepare:.3f}", self.result, f"{self.seconds:.3f}"]
        fields.append("" if self.claimed is None else str(self.claimed))
        if self.proof is not None:
            fields += [str(self.proof.size), f"{self.proof.seconds:.3f}", self.proof.verdict]
        csv.writer(stream, lineterminator="\n").writerow(fields)
        return stream.getvalue()


def read_instances(path: Path, timeout: float | None = None) -> list[Instance]:
    """The instances of a list; the limit of each is `timeout`, if that is given.

    Raises:
        UsageError: `bench/no-file`.
        InputError: `bench/instances`.
    """
    folder = path.absolute().parent
    instances = []
    for number, fields in enumerate(_read(path), 1):
        try:
            network, query, seconds = fields
            limit = float(seconds) if timeout is None else timeout
        except ValueError:
            raise InputError(
                "bench/instances",
                "a line does not name a network, a property and a time limit",
                place=Place(file=str(path), line=number),
                value=",".join(fields),
            ) from None
        instances.append(Instance(folder.name, network.strip(), query.strip(), limit, str(folder)))
    return instances


def read_expected(instances: Iterable[Instance]) -> dict[Key, str]:
    """The expected verdicts of the ``expected.csv`` beside each list; those without one have none."""
    expected: dict[Key, str] = {}
    for category, folder in dict.fromkeys((instance.category, instance.folder) for instance in instances):
        path = Path(folder) / "expected.csv"
        if path.is_file():
            for network, query, verdict in _read(path):
                expected[category, network.strip(), query.strip()] = verdict.strip()
    return expected


def read_results(path: Path) -> dict[Key, Row]:
    """The results in a file, the last of each instance; lines that are none, as a torn last one, are left out.

    Lines without the last columns, of earlier versions or of the competition, have results too.
    """
    rows: dict[Key, Row] = {}
    if not path.is_file():
        return rows
    text = path.read_text("utf-8", errors="replace")
    complete = text[: text.rfind("\n") + 1]
    for fields in csv.reader(io.StringIO(complete)):
        if len(fields) in (6, 7, 10) and fields[4] in RESULTS:
            category, network, query, prepare, result, seconds, claimed, *proved = [*fields, ""][: max(7, len(fields))]
            key = category, network, query
            with contextlib.suppress(ValueError):
                proof = Proof(int(proved[0]), float(proved[1]), proved[2]) if proved else None
                rows[key] = Row(key, float(prepare), result, float(seconds), int(claimed) if claimed else None, proof)
    return rows


def _read(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [fields for fields in csv.reader(stream) if fields]
    except OSError as error:
        place, hint = Place(file=str(path)), f"check the path{beside(path)}"
        raise UsageError(
            "bench/no-file", "the list cannot be read", place=place, value=error.strerror, hint=hint
        ) from error


def read_details(path: Path) -> dict[Key, dict[str, Any]]:
    """What the runs of a sweep said, from the file beside its results; lines that are torn are left out."""
    found: dict[Key, dict[str, Any]] = {}
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            content = json.loads(line)
            category, network, query = content.pop("key")
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        found[category, network, query] = content
    return found


def recorded_instances(details: Mapping[str, Mapping[Key, Mapping[str, Any]]]) -> list[Instance]:
    """The instances that results are of, where their lists are not at hand: with recorded limits, in recorded order.

    Args:
        details: by run, as read by `read_details`; of results that do not say their limit it is taken for a second.
    """
    limits = {key: said.get("limit", 1.0) for found in details.values() for key, said in found.items()}
    return [Instance(*key, limit, "") for key, limit in limits.items()]
