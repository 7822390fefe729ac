"""Options of a job: a frozen dataclass, from which command-line flags, keywords and checks follow."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from eqverify.errors import UsageError

Element = Literal["float32", "float64"]
"""The type of written weights."""

Semantics = Literal["real", "float32"]
"""What an answer is about: the network over the real numbers, or its float32 runs."""

P = ParamSpec("P")
Options = TypeVar("Options")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Result = TypeVar("Result")


class keywords(Generic[P, Options]):  # noqa: N801 - a decorator
    """Decorates a job that takes its options last, as an object: it then takes them as keywords.

    Args:
        options: the dataclass.
    """

    def __init__(self, options: Callable[P, Options]) -> None:
        self._options = options

    @overload
    def __call__(self, job: Callable[[A, Options], Result]) -> Callable[Concatenate[A, P], Result]: ...

    @overload
    def __call__(self, job: Callable[[A, B, Options], Result]) -> Callable[Concatenate[A, B, P], Result]: ...

    @overload
    def __call__(self, job: Callable[[A, B, C, Options], Result]) -> Callable[Concatenate[A, B, C, P], Result]: ...

    def __call__(self, job: Callable[..., Any]) -> Callable[..., Any]:
        """The job with keywords."""
        *first, _ = inspect.signature(job).parameters.values()
        named = inspect.signature(self._options).parameters.values()
        signature = inspect.Signature([*first, *(one.replace(kind=one.KEYWORD_ONLY) for one in named)])

        @wraps(job)
        def run(*given: Any, **chosen: Any) -> Any:
            from eqverify import kernels  # brings numpy, which help does without

            bound = signature.bind(*given, **chosen).arguments
            with kernels.job():
                return job(*[bound.pop(one.name) for one in first], self._options(**bound))  # type: ignore[call-arg]

        run.__signature__ = signature  # type: ignore[attr-defined]
        return run


def keywords_of(options: object, of: type | None = None) -> dict[str, Any]:
    """The fields of an options object, by name; only those that the dataclass `of` has too, if it is given."""
    return {field.name: getattr(options, field.name) for field in fields(of or options)}  # type: ignore[arg-type]


def changed(options: object) -> list[str]:
    """The fields of an options object that are not as they are by default."""
    return [field.name for field in fields(options) if getattr(options, field.name) != field.default]  # type: ignore[arg-type]


def require_seconds(options: object, *names: str) -> None:
    """Raise unless fields are positive numbers of seconds, or ``auto`` where they may be.

    Raises:
        UsageError: `usage/limit`.
    """
    for name in names:
        seconds = getattr(options, name)
        if seconds != "auto" and not (isinstance(seconds, int | float) and seconds > 0):
            raise UsageError("usage/limit", f"{name} must be a positive number of seconds", value=seconds)
