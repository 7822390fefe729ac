"""Property files, plain or gzip."""

from __future__ import annotations

import os
import zlib

from eqverify.errors import InputError, Place, UsageError
from eqverify.files import beside, read_limited, unpack
from eqverify.frontend.vnnlib.parser import parse_query
from eqverify.frontend.vnnlib.syntax import Query

MAX_TEXT_BYTES = 1 << 28
"""Bytes of an (unpacked) property."""


def read_query(path: str | os.PathLike[str]) -> Query:
    """Read a property file.

    Args:
        path: the file; gzip is recognised by its content, whatever the name.

    Returns:
        The query, with `path` as its source.

    Raises:
        UsageError: ``vnnlib/no-file`` where the file cannot be opened.
        InputError: ``vnnlib/gzip`` (damaged archive), ``vnnlib/too-large``, ``vnnlib/encoding`` (not UTF-8), or what
            `parse_query` raises.
    """
    source = os.fspath(path)
    try:
        data = read_limited(path, MAX_TEXT_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            "vnnlib/no-file",
            f"the property file cannot be read: {reason}",
            place=Place(file=source),
            hint=f"give the path of a .vnnlib or .vnnlib.gz file{beside(path)}",
        ) from None
    if data is None:
        raise _too_large(source)
    return parse_query(decode(data, source), source)


def decode(data: bytes, source: str | None = None) -> str:
    """The text of a property file's bytes.

    Args:
        data: UTF-8 with or without byte order mark, or that in gzip.
        source: file name for messages.

    Raises:
        InputError: ``vnnlib/gzip``, ``vnnlib/too-large`` or ``vnnlib/encoding``.
    """
    try:
        text = unpack(data, MAX_TEXT_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            "vnnlib/gzip",
            f"the gzip file is damaged: {error}",
            place=Place(file=source),
            hint="download or compress it again",
        ) from None
    if text is None:
        raise _too_large(source)
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "vnnlib/encoding",
            "the file is not text in UTF-8",
            place=Place(file=source),
            value=f"byte 0x{text[error.start]:02x} at offset {error.start}",
            hint="is this a VNN-LIB file?",
        ) from None


def _too_large(source: str | None) -> InputError:
    return InputError(
        "vnnlib/too-large",
        "the property is larger than what is read",
        place=Place(file=source),
        value=f"{MAX_TEXT_BYTES >> 20} MiB, unpacked",
        hint="split it into several files",
    )
