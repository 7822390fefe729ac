"""What lark says about a text that does not parse, said in our own terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from eqverify.errors import InputError
from eqverify.frontend.vnnlib.syntax import Position, place_of

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

_HUMAN = {
    "$END": "the end of the file",
    "DECLARE": "'declare-const'",
    "ASSERT": "'assert'",
    "AND": "'and'",
    "OR": "'or'",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "COMMA": "','",
    "PLUS": "'+'",
    "MINUS": "'-'",
    "TIMES": "'*'",
    "RELATION": "a comparison such as <=",
    "NUMBER": "a number",
    "NAME": "a name",
    "STRING": 'a node name in double quotes, "..."',
    "VERSION": "a version such as <2.0>",
    "VNNLIB": "'vnnlib-version'",
    "NETWORK": "'declare-network'",
    "EQUAL": "'equal-to'",
    "ISOMORPHIC": "'isomorphic-to'",
    "INPUT": "'declare-input'",
    "HIDDEN": "'declare-hidden'",
    "OUTPUT": "'declare-output'",
    "DECLARATIONS": "'('",
    "BOUNDS": "'('",
    "ATOM": "'('",
}

_WORDS = {
    "declare-fun": "declare variables as (declare-const X_0 Real)",
    "=": "version 2 writes equality as ==",
    "==": "version 1.0 writes equality as =",
    "!=": "version 1.0 has no !=: write (or (< a b) (> a b))",
    "declare-network": "a version 2 query starts with (vnnlib-version <2.0>)",
    "declare-const": "version 2 declares tensors within (declare-network ...)",
}


class FaultError(Exception):
    """A mistake found where the text is not at hand; `parse_query` turns it into an `InputError`."""

    def __init__(self, code: str, message: str, position: Position, value: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.position, self.value, self.hint = code, message, position, value, hint

    def error(self, text: str, source: str | None) -> InputError:
        """The same mistake with its place in the text."""
        place = place_of(text, source, self.position)
        return InputError(self.code, self.message, place=place, value=shorten(self.value), hint=self.hint)


def shorten(value: str, limit: int = 60) -> str:
    """The text on one printable line of at most `limit` characters."""
    line = "".join(c if c.isprintable() else "�" for c in value[: limit + 1])
    return line if len(line) <= limit else line[: limit - 3] + "..."


def syntax_error(error: UnexpectedInput, text: str, source: str | None) -> InputError:
    """The `vnnlib/syntax` error for what lark could not read, or `vnnlib/truncated` at the end of the text."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if isinstance(error, UnexpectedToken):
        token = error.token
        if token.type == "$END":
            return _truncated(error.expected, text, source)
        start = token.start_pos or 0
        expected: Iterable[str] = error.expected
    else:
        assert isinstance(error, UnexpectedCharacters)
        start = error.pos_in_stream or 0
        expected = error.state.parse_conf.parse_table.states[error.state.position]
    column = error.column
    while start > 0 and text[start - 1] in "<>=!":
        start, column = start - 1, column - 1
    found = _word_at(text, start)
    if found == "(" and (inner := _word_after(text, start)) in _WORDS:
        found = inner
    return InputError(
        "vnnlib/syntax",
        f"expected {_listed(expected)}",
        place=place_of(text, source, (error.line, column)),
        value=shorten(found),
        hint=_WORDS.get(found) or _form(text, start),
    )


def _form(text: str, start: int) -> str:
    """The form of the statement that a position lies in."""
    forms = {
        "assert": "an assertion has the form (assert (<= a b)), with and/or around comparisons",
        "vnnlib-version": "a version 2 query starts with (vnnlib-version <2.0>)",
        "declare-const": "a declaration has the form (declare-const X_0 Real)",
        "declare-network": "a declaration has the form (declare-network f (declare-input X real [5]) "
        '(declare-hidden H real [8] "node") (declare-output Y real []))',
    }
    return forms[max(forms, key=lambda word: text.rfind(word, 0, start + 1))]


def _truncated(expected: Iterable[str], text: str, source: str | None) -> InputError:
    stripped = text.rstrip()
    line = stripped.count("\n") + 1
    column = len(stripped) - (stripped.rfind("\n") + 1) + 1
    return InputError(
        "vnnlib/truncated",
        f"the text ends too early: expected {_listed(expected)}",
        place=place_of(text, source, (line, column)),
        hint="is the file complete? a closing ')' may be missing",
    )


def _listed(terminals: Iterable[str]) -> str:
    words = sorted({_HUMAN[name] for name in terminals if name in _HUMAN})
    if not words:
        return "something else"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _word_at(text: str, start: int) -> str:
    """The word that starts at a position: up to white space or a parenthesis, at least one character."""
    end = start + 1
    if text[start : start + 1] not in "()[]":
        while end < len(text) and end - start < 80 and not (text[end].isspace() or text[end] in "()[];"):
            end += 1
    return text[start:end]


def _word_after(text: str, parenthesis: int) -> str:
    start = parenthesis + 1
    while start < len(text) and text[start].isspace():
        start += 1
    return _word_at(text, start) if start < len(text) else ""
