"""What several commands take or check."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.errors import Place, UsageError
from eqverify.files import parts_of, require_place
from eqverify.options import keywords_of

Json = Annotated[bool, Parameter(negative="")]


def print_json(value: Mapping[str, object], options: object = None) -> None:
    """One JSON object on one line of stdout, with the options of the job; numbers that JSON has none for are null."""
    told = {} if options is None else {"options": keywords_of(options)}
    print(json.dumps(_finite({**value, **told}), allow_nan=False))


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
        UsageError: `files/no-folder`, `files/not-writable`, `usage/same-file`.
    """
    taken = {_real(path): "a file that is read" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        require_place(Path(path))
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


def _real(path: Path | str) -> Path:
    return Path(os.path.realpath(path))
