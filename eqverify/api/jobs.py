"""Jobs on problems, for whoever has a model and the inputs that count instead of a problem."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from eqverify.api.loading import Inputs, Model, load_problem
from eqverify.errors import UsageError
from eqverify.problem import Problem

P = ParamSpec("P")
Result_co = TypeVar("Result_co", covariant=True)

_MODEL = """

    Instead of a problem it takes what `load_problem` does: a model (path, bytes, `onnx.ModelProto`, network or
    `torch.nn.Module`), and then a property, a domain or a pair of arrays (lower, upper).
    """


class OnProblems(Protocol[P, Result_co]):
    """A job on a problem, or on a model and the inputs that count."""

    @overload
    def __call__(self, problem: Problem, /, *args: P.args, **kwargs: P.kwargs) -> Result_co: ...

    @overload
    def __call__(self, model: Model, inputs: Inputs, /, *args: P.args, **kwargs: P.kwargs) -> Result_co: ...


def on_problems(job: Callable[Concatenate[Problem, P], Result_co], *, smooth: bool = False) -> OnProblems[P, Result_co]:
    """Decorates a job on a problem: it then takes what makes one, too; `smooth` for one that knows smooth nodes."""
    return _taking_models(job, as_stored=False, smooth=smooth)


def on_stored_problems(job: Callable[Concatenate[Problem, P], Result_co]) -> OnProblems[P, Result_co]:
    """As `on_problems`, for a job that says something of single units: those of the file (M-6)."""
    return _taking_models(job, as_stored=True)


def on_rounding_problems(job: Callable[Concatenate[Problem, P], Result_co]) -> OnProblems[P, Result_co]:
    """As `on_stored_problems`, for a job that knows inputs for roundings (specs/quantised.md), and smooth nodes."""
    return _taking_models(job, as_stored=True, roundings=True, smooth=True)


def _taking_models(
    job: Callable[Concatenate[Problem, P], Result_co],
    *,
    as_stored: bool,
    roundings: bool = False,
    smooth: bool = False,
) -> OnProblems[P, Result_co]:

    @wraps(job)
    def run(model: Problem | Model, inputs: Inputs | None = None, /, **chosen: Any) -> Result_co:
        if isinstance(model, Problem) != (inputs is None):
            raise UsageError(
                "usage/model",
                "a job takes a problem alone, or a model and the inputs that count",
                value=f"{type(model).__name__} and {type(inputs).__name__}",
                hint="eqverify.reduce(problem), or eqverify.reduce(model, property)",
            )
        problem = model
        if not isinstance(problem, Problem):
            made = {"as_stored": as_stored, "roundings": roundings, "smooth": smooth}
            problem = load_problem(problem, cast(Inputs, inputs), **made)
        return cast(Callable[..., Result_co], job)(problem, **chosen)

    own = inspect.signature(job).parameters.values()
    first = inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation="Problem | Model")
    second = first.replace(name="inputs", default=None, annotation="Inputs | None")
    named = [one for one in own if one.kind is one.KEYWORD_ONLY]
    run.__signature__ = inspect.Signature([first, second, *named])  # type: ignore[attr-defined]
    run.__doc__ = (job.__doc__ or "").rstrip() + _MODEL
    return cast("OnProblems[P, Result_co]", run)
