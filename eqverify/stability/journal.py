"""The journal of a proof: facts are appended as they are proved, so that a killed run can be resumed.

Lines of text, each ``CRC-32 (8 hex digits), space, JSON object``.  The first names the network, the domain, the
engine and the version; the others hold signs that a solver claimed, witnesses, and the bounds at the end of each
stage.  Bounds that rest on a solver's word are passed over by a run that does not trust it.  A last line without an end
was being written when the run was killed: it is dropped.  Everything else that is not as written is an error.

A journal is **trusted input**: its bounds and signs are taken for proved, as eqverify itself wrote them; the
checksums find damage, not forgery.  Witnesses alone are replayed.

A proof without a file keeps the same in memory, up to the last stage that ended, so that Ctrl-C can leave it in one.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from eqverify.arrays import ByteArray, FloatArray
from eqverify.bounds import Interval
from eqverify.errors import ContradictionError, InputError, Place, UsageError
from eqverify.files import sole_writer, version
from eqverify.problem import Problem
from eqverify.stability.facts import PROOFS, Evidence, FactTable
from eqverify.stability.falsify import Falsifier

FORMAT = 2
Entry = dict[str, Any]


def open_journal(path: Path | None, problem: Problem, engine: str) -> Journal:
    """Open a journal for resuming and appending; a new file if there is none; one in memory for None.

    Args:
        path: the file.
        problem: what the proof is about.
        engine: what proves.

    Raises:
        UsageError: `journal/not-writable`; `files/locked` where another run has it open.
        InputError: `journal/damaged`, `journal/other-problem`, `journal/other-version`, `journal/other-engine`.
    """
    header: Entry = {
        "journal": FORMAT,
        "version": version(),
        "network": problem.network.digest,
        "domain": problem.domain_digest,
        "engine": engine,
    }
    if path is None:
        return Journal(None, (header,))
    place = Place(file=str(path))
    with ExitStack() as held:
        try:
            stream = held.enter_context(path.open("r+b" if path.exists() else "x+b"))
            held.enter_context(sole_writer(path))
            entries = _read(stream, _line(header), place)
            if entries:
                _compare(entries[0], header, place)
            else:
                stream.write(_line(header))
                stream.flush()
        except OSError as error:
            raise _not_writable(place, error) from error
        return Journal(stream, (header, *entries[1:]), place, held.pop_all())


def _not_writable(place: Place, error: OSError) -> UsageError:
    return UsageError(
        "journal/not-writable",
        "the journal cannot be read and written",
        place=place,
        value=error.strerror,
        hint="make room, or name another file; what was proved before is kept",
    )


def _read(stream: BinaryIO, header: bytes, place: Place) -> list[Entry]:
    """All complete lines; the file is cut after them, unless it is no journal that was being written."""
    entries: list[Entry] = []
    end = 0
    for number, line in enumerate(stream, start=1):
        if not line.endswith(b"\n"):
            if number == 1 and not header.startswith(line):
                _damaged(Place(file=place.file, line=1), "it is no journal")
            break
        entries.append(_parse(line, Place(file=place.file, line=number)))
        end += len(line)
    stream.truncate(end)
    stream.seek(end)
    return entries


def _parse(line: bytes, place: Place) -> Entry:
    body = line[9:-1]
    if line[:9] != b"%08x " % binascii.crc32(body):
        _damaged(place, "its checksum is wrong")
    try:
        entry = json.loads(body)
    except (ValueError, RecursionError):
        _damaged(place, "it is not JSON")
    if not isinstance(entry, dict):
        _damaged(place, "it is no JSON object")
    return entry


def _damaged(place: Place, reason: str) -> NoReturn:
    raise InputError(
        "journal/damaged",
        "a line of the journal is not what eqverify writes",
        place=place,
        value=reason,
        hint="delete the file to start again",
    )


def _compare(found: Entry, wanted: Entry, place: Place) -> None:
    place = Place(file=place.file, line=1)
    if found.keys() != wanted.keys():
        _damaged(place, "the header is missing")
    for key in ("journal", "version"):
        if found[key] != wanted[key]:
            raise _other("journal/other-version", "the journal was written by another eqverify", key, found, place)
    for key in ("network", "domain"):
        if found[key] != wanted[key]:
            raise _other("journal/other-problem", "the journal is about another network or domain", key, found, place)
    if found["engine"] != wanted["engine"]:
        raise _other("journal/other-engine", "the journal was written by another engine", "engine", found, place)


def _other(code: str, message: str, key: str, found: Entry, place: Place) -> InputError:
    value = f"{key} {str(found[key])[:16]}"
    return InputError(code, message, place=place, value=value, hint="name another file, or delete this one")


def _bounds(name: str, interval: Interval, evidence: ByteArray, weakest: str) -> Entry:
    """The entry of bounds that were proved, whose numbers are to be written yet."""
    kinds = evidence.astype(np.float64)
    return {"bounds": name, "lower": interval.lower, "upper": interval.upper, "evidence": kinds, "dearest": weakest}


def _line(entry: Entry) -> bytes:
    body = json.dumps(entry, allow_nan=False, default=_encode).encode()
    return b"%08x %s\n" % (binascii.crc32(body), body)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a proof.

    Attributes:
        journal: holds what was proved.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.journal = journal


class Journal:
    """An open journal.

    Args:
        stream: the file at its end, or None to keep everything in memory.
        entries: the header, and what the file held behind it.
        place: the file, for errors.
        held: what is given back by `close`: the lock, and the file.
    """

    def __init__(
        self,
        stream: BinaryIO | None,
        entries: tuple[Entry, ...],
        place: Place | None = None,
        held: ExitStack | None = None,
    ) -> None:
        self._held = held or ExitStack()
        self._header, self.entries = entries[0], entries[1:]
        self._stream = stream
        self._place = place or Place()
        self._table: FactTable | None = None
        self._written: dict[str, Interval] = {}
        self._solver = ""
        self._learnt: list[Entry] = []
        self._bounds: dict[str, tuple[Interval, ByteArray, str]] = {}

    def restore(self, table: FactTable, falsifier: Falsifier) -> str:
        """Put all facts of the journal into a table.

        Returns:
            The solver that signs rest on, or empty.

        Raises:
            InputError: `journal/damaged`.
        """
        for number, entry in enumerate(self.entries, start=2):
            place = Place(file=self._place.file, line=number)
            try:
                self._restore(entry, table, falsifier)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                _damaged(place, f"{type(error).__name__}: {str(error)[:80]}")
            except ContradictionError as error:
                _damaged(place, f"it contradicts the lines before: {error.message}")
        return self._solver

    def _restore(self, entry: Entry, table: FactTable, falsifier: Falsifier) -> None:
        if "sign" in entry:
            name, part, unit, above = entry["sign"]
            _require(type(part) is int and type(unit) is int and type(above) is bool)
            _require(0 <= part < table.parts and 0 <= unit < table.network.sizes[name])
            if table.trusts:  # else it is asked again, and proved
                table.claim(name, part, unit, above=above)
        elif "bounds" in entry:
            name = entry["bounds"]
            interval = table.bounds[name]
            lower, upper = (_decode(entry[key], interval.lower.shape) for key in ("lower", "upper"))
            evidence = _decode(entry["evidence"], interval.lower.shape[1:])
            _require(not np.isnan(lower).any() and not np.isnan(upper).any())
            _require(bool(np.isin(evidence, (Evidence.NONE, *PROOFS)).all()))
            weakest_evidence = Evidence[entry["dearest"]]
            _require(weakest_evidence in PROOFS)
            if weakest_evidence is Evidence.SOLVER and not table.trusts:
                return
            table.restore(name, Interval(lower, upper), evidence.astype(np.int8), weakest_evidence)
        elif "points" in entry:
            points = np.frombuffer(base64.b64decode(entry["points"], validate=True), dtype="<f8")
            falsifier.try_points(points.reshape(-1, falsifier.domain.size).astype(np.float64))
        else:
            _require(isinstance(entry["solver"], str))
            self._solver = entry["solver"]

    def record(self, table: FactTable, falsifier: Falsifier) -> None:
        """Append from now on what these learn."""
        self._table = table
        self._written = dict(table.bounds)
        table.listeners.append(lambda *sign: self._append({"sign": [*sign]}))
        falsifier.listener = lambda points: self._append({"points": points})

    def flush(self, solver: str) -> None:
        """Append the bounds that changed since the last call, and make the file safe against a crash of the machine."""
        if self._table is None:
            return
        if solver and solver != self._solver:
            self._solver = solver
            self._append({"solver": solver})
        for name, interval in self._table.bounds.items():
            if self._written[name] is not interval:
                found = interval, self._table.evidence(name).copy(), self._table.weakest_evidence.name
                if self._stream is None:
                    self._bounds[name] = found
                else:
                    self._append(_bounds(name, *found))
                self._written[name] = interval
        if self._stream is None:
            return
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _not_writable(self._place, error) from error

    def _append(self, entry: Entry) -> None:
        if self._stream is None:
            self._learnt.append(entry)
            return
        try:
            self._stream.write(_line(entry))
            self._stream.flush()
        except OSError as error:
            raise _not_writable(self._place, error) from error

    def leave(self, path: Path) -> None:
        """Write what was kept in memory to a new file.

        Raises:
            OSError: it is there already, or cannot be written.
        """
        bounds = [_bounds(name, *found) for name, found in self._bounds.items()]
        with path.open("xb") as stream:
            stream.writelines(_line(entry) for entry in (self._header, *self._learnt, *bounds))

    def close(self) -> None:
        """Close the file, and let others write to it."""
        self._stream = None
        with contextlib.suppress(OSError):  # what could not be written was told when it was to be
            self._held.close()


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("a value out of range")


def _encode(array: FloatArray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f8").tobytes()).decode()


def _decode(text: str, shape: tuple[int, ...]) -> FloatArray:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").reshape(shape).astype(np.float64)
