"""Writing files so that a killed run leaves the old file or none."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from eqverify.errors import Place, UsageError


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write a file under a temporary name in its folder, flush it to disk, and rename it.

    Args:
        path: where; an existing file is replaced.
        data: bytes, or text to be written as UTF-8.

    Raises:
        UsageError: `files/no-folder`, `files/not-writable`.
    """
    path = Path(path)
    place = Place(file=str(path))
    if not path.parent.is_dir():
        raise UsageError(
            "files/no-folder",
            "the folder to write into does not exist",
            place=place,
            value=str(path.parent),
            hint="create it first",
        )
    temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.tmp"
    try:
        _write(temporary, data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            "files/not-writable", "the file cannot be written", place=place, value=error.strerror
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
