"""The errors eqverify raises: each has a code, a place, the offending value and a hint.

One root, :class:`EqverifyError`; one subclass per exit status.  The text of a code never changes once
released (`specs/errors.md` lists them all); messages may.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where an error is: a file position, or a node (and unit) of a network.

    Attributes:
        file: path or name of the text or model, or None for objects made in memory.
        line: 1-based line, or None.
        column: 1-based column, or None.
        source_line: the text of that line, for the caret.
        node: name of the network node or ONNX node, or None.
        unit: index of the unit in that node, or None.
    """

    file: str | None = None
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    node: str | None = None
    unit: int | None = None

    def __str__(self) -> str:
        position = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        node = "" if self.node is None else f"node {self.node!r}"
        unit = "" if self.unit is None else f"unit {self.unit}"
        return ", ".join(part for part in (position, node, unit) if part)

    def caret(self) -> str:
        """The source line with a caret below the column; empty where either is unknown."""
        if self.source_line is None or self.column is None:
            return ""
        start = max(0, self.column - 60)
        shown = self.source_line[start : start + 100].replace("\t", " ")
        return f"  {shown}\n  {' ' * (self.column - 1 - start)}^"


class EqverifyError(Exception):
    """Root of all errors that eqverify raises on purpose.

    >>> import eqverify as eq
    >>> try:
    ...     eq.load_network("no.onnx")
    ... except eq.EqverifyError as error:
    ...     print(error.code, error.exit_status)
    ...     print(error)
    onnx/no-file 2
    error[onnx/no-file]: there is no such model file
      at no.onnx
      hint: check the path

    Args:
        code: stable identifier, such as ``onnx/unsupported-operator``.
        message: one sentence for people.
        place: where it is.
        value: the offending value, already short enough to print.
        hint: what would help.
    """

    exit_status = 5

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        value: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.place = place or Place()
        self.value = value
        self.hint = hint

    def __str__(self) -> str:
        where = str(self.place)
        lines = [f"error[{self.code}]: {self.message}"]
        if where:
            lines.append(f"  at {where}")
        if caret := self.place.caret():
            lines.append(caret)
        if self.value is not None:
            lines.append(f"  value: {self.value}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        value = None if self.value is None else str(self.value)
        place = {name: found for name, found in asdict(self.place).items() if found is not None}
        about = {"place": place, "value": value, "hint": self.hint, "exit_status": self.exit_status}
        return {"code": self.code, "message": self.message, **about}

    def __reduce__(self) -> tuple[object, ...]:
        state = {"place": self.place, "value": self.value, "hint": self.hint}
        return _rebuild, (type(self), self.code, self.message, state)


def _rebuild(cls: type[EqverifyError], code: str, message: str, state: dict[str, object]) -> EqverifyError:
    """Unpickle an error (they cross process borders)."""
    return cls(code, message, **state)  # type: ignore[arg-type]


class RejectedError(EqverifyError):
    """A claim was refuted: a cross-check found an input on which it fails."""

    exit_status = 1


class EmptySetError(RejectedError):
    """There is no input in question: an error, unless constraints on outputs are assumed and that is the claim."""


class UsageError(EqverifyError):
    """The call itself is wrong: options that exclude each other, a file that is not there."""

    exit_status = 2


class InputError(EqverifyError):
    """A file or object that was read is malformed, contradictory or not supported."""

    exit_status = 3


class LimitError(EqverifyError):
    """A stated limit (time, memory, size) was reached before there was an answer."""

    exit_status = 4


class ContradictionError(EqverifyError):
    """Two proofs contradict each other, or an invariant of our own broke.  Never repaired."""

    exit_status = 5
