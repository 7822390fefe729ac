"""What several commands take or check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.errors import Place, UsageError
from eqverify.stability.options import StabilityOptions

Options = Annotated[StabilityOptions, Parameter(name="*")]
Json = Annotated[bool, Parameter(negative="")]


def require_folder(path: Path) -> None:
    """Raise before any work where the folder of a file to write does not exist.

    Raises:
        UsageError: `files/no-folder`.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "files/no-folder",
            "the folder to write into does not exist",
            place=Place(file=str(path)),
            value=str(path.parent),
            hint="create it first",
        )
