"""Facts of earlier runs in a folder: what holds on a box holds on every box inside it.

One file for each network and box, an npz archive.  Kept are bounds that rest on arithmetic alone, with what they rest
on; nothing of a region where a disjunct is assumed, and nothing that a solver is believed for.  Files that another
version of eqverify wrote are passed over.  The folder is **trusted input**, as a journal is: its bounds are taken for
proved.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eqverify.errors import InputError, Place
from eqverify.files import atomic_write, make_folder, version
from eqverify.problem import Problem
from eqverify.stability.facts import PROOFS, Evidence, Facts, LayerFacts, Status

_MOST = 200
"""Files that are kept of one network, and looked at."""

_KEPT = tuple(kind for kind in PROOFS if kind is not Evidence.SOLVER)


def known(folder: Path | str, problem: Problem) -> list[Facts]:
    """What is known of a problem's network on boxes around its domain, file by file.

    Raises:
        InputError: `facts/damaged`.
    """
    found = []
    for path in sorted(_place(folder, problem).glob("*.npz"))[:_MOST]:
        try:
            with np.load(path, allow_pickle=False) as archive:
                layers = _layers(archive, problem)
            if layers is not None:
                _require_whole(path)
        except (EOFError, KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise InputError(
                "facts/damaged",
                "a file of facts is not what eqverify writes",
                place=Place(file=str(path)),
                value=f"{type(error).__name__}: {str(error)[:80]}",
                hint="delete the file; what it held is proved again",
            ) from error
        if layers is not None:
            found.append(Facts(problem.network.digest, problem.domain_digest, layers))
    return found


def _require_whole(path: Path) -> None:
    """Compare checksums, which numpy does not."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError("a checksum is wrong")


def _layers(archive: Mapping[str, Any], problem: Problem) -> tuple[LayerFacts, ...] | None:
    """The layers of a file; None where it is another version's, or its box does not contain the domain."""
    if bytes(archive["version"]).decode() != version():
        return None
    domain, (lower, upper) = problem.domain, archive["box"]
    if not ((domain.lower >= lower).all() and (domain.upper <= upper).all()):
        return None
    layers = []
    for number, relu in enumerate(problem.network.relus):
        lower, upper, evidence = archive[f"layer{number}"]
        if lower.shape != (problem.network.sizes[relu.source],) or np.isnan(lower).any() or np.isnan(upper).any():
            raise ValueError("bounds of another shape, or none")
        if not np.isin(evidence, (Evidence.NONE, *_KEPT)).all():
            raise ValueError("evidence of an unknown kind")
        status = np.where(upper <= 0, Status.INACTIVE, np.where(lower >= 0, Status.ACTIVE, Status.UNDECIDED))
        layers.append(LayerFacts(relu.name, relu.source, lower, upper, status, evidence))
    return tuple(layers)


def keep(folder: Path | str, problem: Problem, facts: Facts) -> None:
    """Write what was proved on a problem's inputs, if these are one box, whole, and no solver was believed.

    Raises:
        UsageError: `files/no-folder`, `files/not-writable`.
    """
    polytopes = problem.domain.polytopes
    if problem.assumed is not None or len(polytopes) > 1 or not polytopes[0].is_box or facts.trusts:
        return
    place, box = _place(folder, problem), polytopes[0].box
    path = place / f"{problem.domain.digest[:32]}.npz"
    if not path.exists() and len(list(place.glob("*.npz"))) >= _MOST:
        return
    arrays: dict[str, Any] = {"version": np.frombuffer(version().encode(), dtype=np.uint8)}
    arrays["box"] = np.stack([box.lower, box.upper])
    for number, layer in enumerate(facts.layers):
        evidence = np.where(np.isin(layer.evidence, _KEPT), layer.evidence, Evidence.NONE)
        arrays[f"layer{number}"] = np.stack([layer.lower, layer.upper, evidence.astype(np.float64)])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    make_folder(place)
    atomic_write(path, buffer.getvalue())


def _place(folder: Path | str, problem: Problem) -> Path:
    return Path(folder) / problem.network.digest[:32]
