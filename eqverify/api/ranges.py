"""Between what units and outputs lie on a domain, as a file that other programs read."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.api.jobs import on_rounding_problems
from eqverify.arrays import IEEE, FloatArray
from eqverify.budget import LONGEST, Budget
from eqverify.errors import Place, UsageError
from eqverify.files import atomic_write, parts_of, version
from eqverify.options import keywords, keywords_of
from eqverify.problem import Problem
from eqverify.stability.facts import Evidence, Facts, LayerFacts, Status
from eqverify.stability.outputs import OutputRanges, bound_outputs
from eqverify.stability.proving import StabilityKeywords, prove_stability

Columns = dict[str, npt.NDArray[Any]]
"""Arrays of one length, by name."""

SCHEMA = "eqverify bounds 1"
"""The kind and version of the file, as specs/output.schema.json has it."""

_OUTPUTS = 0.1
"""Share of the time that is kept for the outputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Proved ranges of all units and of the outputs of a network on a domain.

    >>> import eqverify as eq
    >>> ranges = eq.prove_ranges(*eq.example_files(), engine="crown")
    >>> ranges
    <Ranges: 120 units, 10 outputs>
    >>> bool((ranges.outputs.lower < ranges.outputs.upper).all())
    True

    Attributes:
        problem: domain and network, as it was read: without units that others make superfluous everywhere (M-6).
        facts: the units: status, and bounds of their pre-activations z.  `evidence` is that of the status; bounds rest
            on its `weakest_evidence` at most.
        outputs: the flat outputs.
    """

    problem: Problem
    facts: Facts
    outputs: OutputRanges

    def __repr__(self) -> str:
        return f"<Ranges: {self.facts.summary()['units']} units, {self.outputs.lower.size} outputs>"

    def as_dict(self) -> dict[str, Any]:
        """What `save` writes as JSON: bounds to the last digit, numbers that JSON has none for as null."""
        problem = self.problem
        digests = {"network": problem.network.digest, "domain": problem.domain.digest}
        return {
            "digests": {**digests, **{f"{name}_file": digest for name, digest in problem.files.items()}},
            "inputs": _numbers(self._inputs),
            "parts": len(problem.domain.polytopes),
            "constraints": sum(len(part.bound) for part in problem.domain.polytopes),
            "layers": [{"name": name, **_numbers(columns)} for name, columns in self._layers().items()],
            "outputs": _numbers(_columns(self.outputs)),
            "weakest_evidence": self.facts.weakest_evidence.name.lower(),
            "outputs_of": "outputs" if problem.tail is None else "cut",
            "trust": sorted(self.facts.trust),
            "reading": problem.reading.as_dict(),
        }

    def save(self, path: str | Path) -> None:
        """Write the ranges: ``.json``, packed where ``.gz`` follows, or ``.npz``.

        An ``.npz`` holds the arrays ``inputs/lower``, ``inputs/upper``, ``outputs/lower``, ``outputs/upper``,
        ``outputs/evidence``, for layer k (from 0) ``layers/k/lower``, ``upper``, ``status``, ``evidence``, and as
        ``about`` the rest of the JSON object as text.

        Raises:
            UsageError: `usage/bounds-format` for another suffix; `files/...`.
        """
        suffix = ranges_suffix(path)
        found = {"schema": SCHEMA, "eqverify": version(), **self.as_dict()}
        if suffix != ".npz":
            atomic_write(path, json.dumps(found, allow_nan=False) + "\n")
            return
        groups = {"inputs": self._inputs, "outputs": _columns(self.outputs)}
        groups |= {f"layers/{k}": columns for k, columns in enumerate(self._layers().values())}
        arrays: dict[str, Any] = {
            f"{group}/{name}": array for group, columns in groups.items() for name, array in columns.items()
        }
        rest = {key: value for key, value in found.items() if key not in groups}
        about = json.dumps({**rest, "layers": [layer.name for layer in self.facts.layers]})
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=np.array(about), **arrays)
        atomic_write(path, buffer.getvalue())

    @property
    def _inputs(self) -> Columns:
        """The model's own inputs."""
        hull, own = self.problem.domain.hull, self.problem.network.own_size
        return {"lower": hull.lower[:own], "upper": hull.upper[:own]}

    def _layers(self) -> dict[str, Columns]:
        """By ReLU node, its columns."""
        found = {}
        for layer in self.facts.layers:
            status = np.array([Status(status).name.lower() for status in layer.status.tolist()])
            found[layer.name] = {**_columns(layer), "status": status}
        return found


def ranges_suffix(path: str | Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: `usage/bounds-format`.
    """
    suffix = parts_of(Path(path))[1]
    if suffix not in (".json", ".json.gz", ".npz"):
        hint = "use .json, .json.gz or .npz"
        raise UsageError(
            "usage/bounds-format", "unknown format of bounds", place=Place(file=str(path)), value=suffix, hint=hint
        )
    return suffix


@on_rounding_problems
@keywords(StabilityKeywords)
@IEEE
def prove_ranges(problem: Problem, options: StabilityKeywords) -> Ranges:
    """Prove between what all units and the outputs lie on a problem's domain, linear constraints on inputs included.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> eq.prove_ranges(network, ([-1, -1], [1, 2])).outputs.upper < 3.0001
    array([ True])

    Args:
        problem: domain and network, as it was read: without units that others make superfluous everywhere (M-6).
        options: the keywords are those of `StabilityKeywords`; a tenth of the time is kept for the outputs.

    Returns:
        The ranges.  Trusted: as for `prove_stability`.

    Raises:
        UsageError, InputError, LimitError: as `prove_stability`; `domain/empty` where no input satisfies the
            constraints.
    """
    limit = options.time_limit
    budget = Budget(LONGEST if limit == "auto" else limit)
    first = limit if limit == "auto" else (1 - _OUTPUTS) * limit
    facts = prove_stability(problem, **keywords_of(replace(options, time_limit=first)))
    options.progress("outputs", 0, 1)
    rest = Budget(max(budget.left, _OUTPUTS * budget.seconds))
    return Ranges(problem, facts, bound_outputs(problem, facts, rest))


def _columns(ranges: LayerFacts | OutputRanges) -> Columns:
    evidence = np.array([Evidence(kind).name.lower() for kind in ranges.evidence.tolist()])
    return {"lower": ranges.lower, "upper": ranges.upper, "evidence": evidence}


def _numbers(columns: Columns) -> dict[str, list[Any]]:
    return {name: _finite(array) if array.dtype.kind == "f" else array.tolist() for name, array in columns.items()}


def _finite(array: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in array.tolist()]
