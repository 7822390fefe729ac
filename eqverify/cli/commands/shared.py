"""What several commands take or check."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from eqverify.errors import Place, UsageError
from eqverify.files import parts_of, require_place, version
from eqverify.options import keywords_of

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel

    from eqverify.problem import Problem

Json = Annotated[bool, Parameter(negative="")]

_SCHEMA = 1
"""The version of specs/output.schema.json: a larger one takes keys away or changes what they mean."""


def in_groups(options: type) -> Parameter:
    """How a command takes an options class that inherits from others: in its help a group for each class.

    Args:
        options: the class; what its docstring begins with is the heading.
    """
    classes = {
        field.rstrip("_"): cls for cls in reversed(options.__mro__) for field in getattr(cls, "__annotations__", ())
    }

    def split(console: Any, settings: Any, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter, HelpPanel

        for cls in dict.fromkeys(classes.values()):
            own = [e for e in panel.entries if classes[e.positive_names[0][2:].replace("-", "_")] is cls]
            title = (cls.__doc__ or "").partition(".")[0]
            DefaultFormatter()(console, settings, HelpPanel(format=panel.format, title=title, entries=own))

    group = Group.create_ordered("Options", help_formatter=split)
    return Parameter(name="*", group=group, negative_bool=(), negative_iterable=())


def print_json(kind: str, value: Mapping[str, object], options: object = None) -> None:
    """One JSON object on one line of stdout, with the options of the job; numbers that JSON has none for are null.

    Args:
        kind: what it is, a definition of specs/output.schema.json.
        value: the rest.
        options: of the job.
    """
    told = {} if options is None else {"options": keywords_of(options)}
    head = {"schema": f"eqverify {kind} {_SCHEMA}", "eqverify": version()}
    print(json.dumps(_finite({**head, **value, **told}), allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_outputs(outputs: Mapping[str, Path | str | None], inputs: Iterable[Path | None]) -> None:
    """Raise before any work where a file cannot be written, or would replace one that is read or written too.

    Args:
        outputs: by option, files to write; perhaps with numbers before their suffixes.
        inputs: files that are read.

    Raises:
        UsageError: `files/no-folder`, `files/not-writable`, `usage/same-file`, `usage/picture-format`,
            `usage/no-matplotlib`.
    """
    taken = {_real(path): "a file that is read" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        require_place(Path(path))
        if option == "--picture":
            from eqverify.report.plot import picture_path

            picture_path(path)
        real = _real(path)
        stem, suffix = map(re.escape, parts_of(real))
        numbered = re.compile(rf"{stem}-\d+{suffix}")
        for other, what in taken.items():
            if other == real or (other.parent == real.parent and numbered.fullmatch(other.name)):
                raise UsageError(
                    "usage/same-file",
                    "a file would replace another one of the same call",
                    place=Place(file=str(path)),
                    value=f"{option}: {what}",
                    hint="name another file",
                )
        taken[real] = f"that of {option}"


def named_networks(options: list[str]) -> dict[str, str]:
    """The networks by name.

    Raises:
        UsageError: `usage/networks`.
    """
    networks: dict[str, str] = {}
    for option in options:
        name, found, path = option.partition("=")
        if not found or not path or name in networks:
            raise UsageError("usage/networks", "a network is given as NAME=FILE, each name once", value=option)
        networks[name] = path
    return networks


def _real(path: Path | str) -> Path:
    return Path(os.path.realpath(path))


def local_problem_of(
    network: Path,
    query: Path | None,
    radius: float | None,
    around: str | None,
    *,
    as_stored: bool = False,
    roundings: bool = False,
    smooth: bool = False,
) -> Problem:
    """The problem of the files, on a ball where that is asked for.

    Raises:
        UsageError: `usage/radius`, `usage/no-property`; as `load_problem` and `local_problem`.
    """
    from eqverify.api.loading import compared, load_problem, load_whole
    from eqverify.api.local import local_problem

    if (radius is None) != (around is None):
        raise UsageError("usage/radius", "--radius and --around go together", hint="give both")
    if query is None and radius is None:
        raise UsageError(
            "usage/no-property", "a property is needed", hint="give a VNN-LIB file, or --radius and --around"
        )
    if query is None:
        front = load_whole(network, smooth=smooth)
        front = front.unit_by_unit() if as_stored else front
        ball = local_problem(front.network, float(radius or 0), str(around))
        return replace(ball, reading=compared(network, front, ball.domain))
    read = {"as_stored": as_stored, "roundings": roundings and radius is None, "smooth": smooth}
    problem = load_problem(network, query, **read)
    return problem if radius is None or around is None else local_problem(problem, radius, around)
