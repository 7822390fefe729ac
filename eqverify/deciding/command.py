"""Any tool with the competition's calling convention, given the folded pair of files."""

from __future__ import annotations

import contextlib
import math
import shlex
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.search import RowSearch
from eqverify.budget import Budget
from eqverify.deciding.child import run_group
from eqverify.deciding.question import Disjunction, Question, Replay, Reply
from eqverify.domain import Case, Declaration, HalfSpace, NetworkSignature, Polytope, Specification
from eqverify.errors import UsageError
from eqverify.execution import users_environment
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification
from eqverify.reduction.profiles import tool_of

_GRACE = 1.0
"""Seconds a tool may exceed the limit that it was told, before its process group is ended."""

_ZERO, _ONE = Fraction(0), Fraction(1)

_ANSWERS = {
    "sat": "sat",
    "violated": "sat",
    "unsat": "unsat",
    "holds": "unsat",
    "timeout": "timed-out",
    "timed-out": "timed-out",
}


class CommandBackend:
    """Runs ``SCRIPT v1 eqverify NET.onnx PROP.vnnlib RESULT TIMEOUT``, or a template with these in braces.

    What it calls `unsat` is a claim; what it calls `sat` is replayed.  Where a word of the command names a tool that
    there is a profile for (`reduction.profiles`), the network is reduced for that.

    Args:
        argument: path of a script, or a command with {onnx}, {vnnlib}, {result} and {timeout}.

    Raises:
        UsageError: `usage/backend` without an argument.
    """

    name = "command"

    def __init__(self, argument: str) -> None:
        if not argument:
            hint = (
                "as in --backend command:/path/to/run_instance.sh, or 'command:tool {onnx} {vnnlib} {timeout} {result}'"
            )
            raise UsageError("usage/backend", "the command backend needs a command", hint=hint)
        self.template = shlex.split(argument)
        self.tool = tool_of(self.template)
        if not any("{onnx}" in word for word in self.template):
            self.template += ["v1", "eqverify", "{onnx}", "{vnnlib}", "{result}", "{timeout}"]

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        members = np.ones((1, question.network.output_size), dtype=bool)
        return self.decide_any(Disjunction(question.network, question.box, question.dtype, members), replay, budget)

    def decide_any(self, question: Disjunction, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`, about several disjuncts with one start of the tool."""
        with tempfile.TemporaryDirectory(prefix="eqverify-", ignore_cleanup_errors=True) as folder:
            paths = {name: Path(folder) / name for name in ("net.onnx", "prop.vnnlib", "result.txt")}
            data = write_network(question.network, metadata={}, producer="eqverify", dtype=question.dtype)
            paths["net.onnx"].write_bytes(data)
            paths["prop.vnnlib"].write_text(format_specification(folded_property(question)))
            values = {
                "onnx": str(paths["net.onnx"]),
                "vnnlib": str(paths["prop.vnnlib"]),
                "result": str(paths["result.txt"]),
                "timeout": str(max(1, math.floor(budget.left))),
            }
            command = [_filled(word, values) for word in self.template]
            output, failure = run_group(command, budget.left + _GRACE, folder, users_environment())
            result = paths["result.txt"]
            text = result.read_text(errors="replace") if result.is_file() else output
        return self._read(text, failure, question, replay)

    def _read(self, text: str, failure: str, question: Disjunction, replay: Replay) -> Reply:
        first = text.split(maxsplit=1)[0].lower().strip("\"'():,") if text.strip() else ""
        answer = _ANSWERS.get(first, "unknown")
        tool = Path(self.template[0]).name
        if answer == "unsat" and not failure:
            return Reply("unsat", self.name, evidence=f"{self.name}: {tool}")
        if answer == "sat":
            point = assignment(text, question.box.size)
            near = point is not None and RowSearch(
                question.network, Polytope(question.box), replay, question.members
            ).near(point)
            if near:
                return Reply("sat", self.name)
            return Reply("unknown", self.name, reason=f"{tool} says sat, without an input that holds on the original")
        if answer == "timed-out" or failure == "time limit":
            return Reply("timed-out", self.name)
        return Reply("unknown", self.name, reason=f"{tool}: {failure or first or 'no result'}")


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def folded_property(question: Disjunction) -> Specification:
    """The property of a question: the box, and every output of one of the disjuncts at most 0."""
    size = question.network.output_size
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (question.box.size,)),), (Declaration("Y", "Real", (size,)),)
    )
    unsafe = tuple(
        tuple(HalfSpace({}, {int(k): _ONE}, _ZERO) for k in np.flatnonzero(rows)) for rows in question.members
    )
    return Specification((signature,), (Case(Polytope(question.box), unsafe),))


def assignment(text: str, size: int) -> FloatArray | None:
    """The inputs X_0, X_1, ... of a result file; None where one is missing or no number."""
    words = text.replace("(", " ").replace(")", " ").split()
    values: dict[int, float] = {}
    for name, value in pairwise(words):
        kind, _, index = name.partition("_")
        if kind == "X" and index.isdigit():
            with contextlib.suppress(ValueError):
                values[int(index)] = float(value)
    if sorted(values) != list(range(size)):
        return None
    point = np.array([values[i] for i in range(size)])
    return point if np.isfinite(point).all() else None
