"""The operator table: one entry per operator and range of opsets, filled by the decorator `operator`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from eqverify.errors import UsageError
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.values import Choice, Value
from eqverify.reading import READ_BY

GROUP = "eqverify.operators"
"""Entry points of other packages: modules that register operators when they are imported."""

OLDEST_OPSET = 7
"""Before opset 7, Add and its like broadcast by attributes; the onnx package converts such models."""

Lowering = Callable[[Call], Value | Choice | tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Operator:
    """How one operator is read.

    Attributes:
        name: ONNX operator type.
        since: first opset this entry is for.
        until: last opset, or None for all later ones.
        attributes: the attributes it understands; any other must have its default value.
        refused: forms of it that are not read, for people.
        lower: the function.
        quantised: whether it is one of integers that stand for real numbers, and may round: it is read where roundings
            are (specs/quantised.md).
        smooth: whether it becomes a smooth node, which is wanted by some readers only.
    """

    name: str
    since: int
    until: int | None
    attributes: frozenset[str]
    refused: str
    lower: Lowering
    quantised: bool = False
    smooth: bool = False

    @property
    def package(self) -> str:
        """The package that reads it."""
        return self.lower.__module__.partition(".")[0]

    @property
    def told(self) -> str:
        """Its name, and who reads it if that is another package."""
        return self.name if self.package == "eqverify" else f"{self.name}{READ_BY}{self.package}"

    @property
    def summary(self) -> str:
        """What it is lowered to: the first line of the function's docstring."""
        return (self.lower.__doc__ or "").strip().splitlines()[0]

    @property
    def becomes(self) -> str:
        """The summary as the end of a sentence."""
        text = self.summary.rstrip(".")
        return text if text.startswith("ReLU") else text[0].lower() + text[1:]

    def covers(self, opset: int) -> bool:
        """Whether this entry is for `opset`."""
        return self.since <= opset and (self.until is None or opset <= self.until)


ROUNDED_AS_READ = frozenset(
    (
        *("Add", "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Div", "Gemm", "GlobalAveragePool"),
        *("LeakyRelu", "MatMul", "Mean", "Mul", "PRelu", "ReduceMean", "ReduceSum", "Sub", "Sum"),
        # these choose numbers
        *("Abs", "Clip", "GlobalMaxPool", "Max", "MaxPool", "Min", "Neg", "ReduceMax", "ReduceMin", "Relu", "Trilu"),
        # and these move them
        *("Cast", "CastLike", "Concat", "Constant", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather"),
        *("GatherElements", "GatherND", "Identity", "Pad", "Reshape", "ReverseSequence", "Shape", "Size", "Slice"),
        *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
    )
)
"""Operators whose result in a run is off by no more than what the nodes that they become round (specs/runtime.md)."""

OF_INTEGERS = frozenset(
    (
        *("Cast", "Concat", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Shape", "Size", "Slice", "Split"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    )
)
"""Operators that choose, move or cast numbers, and are read of integers, too."""

_TABLE: dict[str, list[Operator]] = {}


def operator(
    name: str,
    *,
    attributes: tuple[str, ...] = (),
    since: int = OLDEST_OPSET,
    until: int | None = None,
    refused: str = "",
    quantised: bool = False,
    smooth: bool = False,
) -> Callable[[Lowering], Lowering]:
    """Register a function that lowers operator `name` (`domain.name` where that is not ONNX's own domain)."""

    def register(function: Lowering) -> Lowering:
        entry = Operator(name, since, until, frozenset(attributes), refused, function, quantised, smooth)
        _TABLE.setdefault(name, []).append(entry)
        return function

    return register


_ON_CHOICES: dict[str, Lowering] = {}


def on_choices(name: str) -> Callable[[Lowering], Lowering]:
    """Register a function that lowers operator `name` where an input is a choice."""

    def register(function: Lowering) -> Lowering:
        _ON_CHOICES[name] = function
        return function

    return register


_OF_SCALED: dict[str, Lowering] = {}


def of_scaled(name: str) -> Callable[[Lowering], Lowering]:
    """Register how operator `name` is read where an input is `Scaled`; there is an entry for it otherwise, too."""

    def register(function: Lowering) -> Lowering:
        _OF_SCALED[name] = function
        return function

    return register


def of_choices(name: str) -> Lowering | None:
    """What lowers an operator where an input is a choice, or None where that is as ever."""
    return _ON_CHOICES.get(name)


def find_of_scaled(name: str) -> Lowering | None:
    """How an operator is read where an input is `Scaled`, or None."""
    return _OF_SCALED.get(name)


def find_operator(name: str, opset: int, *, smooth: bool = False) -> Operator | None:
    """The entry for an operator at an opset, or None; one that becomes a smooth node only where that is wanted."""
    entries = (entry for entry in _entries(name) if smooth or not entry.smooth)
    return next((entry for entry in entries if entry.covers(opset)), None)


def _entries(name: str) -> list[Operator]:
    """The entries for an operator; other packages are looked for once one is asked for that is not ours."""
    if name not in _TABLE:
        _load_others()
    return _TABLE.get(name, [])


@cache
def _load_others() -> None:
    """Import what other packages register; names that are ours stay ours, for these come first.

    Raises:
        UsageError: `usage/operators`.
    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            raise UsageError(
                "usage/operators",
                "operators of another package cannot be loaded",
                value=f"{point.value}: {error}",
                hint="repair it, or uninstall it",
            ) from error


def registered(*, smooth: bool = False) -> tuple[Operator, ...]:
    """All entries, by name and opset: of those that become smooth nodes, or of the others."""
    _load_others()
    entries = [entry for entries in _TABLE.values() for entry in entries if entry.smooth == smooth]
    return tuple(sorted(entries, key=lambda entry: (entry.name, entry.since)))
