"""Reading files that may be packed, up to a size; writing files so that a killed run leaves the old ones or none.

What a file may be is decided here once: how much is read of it, how gzip is unpacked, who may write to it.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import secrets
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from eqverify.errors import Place, UsageError


@runtime_checkable
class Serialised(Protocol):
    """What makes bytes of itself, as an ``onnx.ModelProto`` does."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The bytes."""


Source: TypeAlias = str | Path | bytes | Serialised
"""Where a model may come from: a file, or what a file holds."""


def source_name(source: Source) -> str | None:
    """What errors call a model: its path, if it has one."""
    return str(source) if isinstance(source, str | Path) else None


_CHUNK = 1 << 22
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_MOST_RATIO = 1032
"""Deflate packs at most so many bytes into one (zlib's technical notes)."""


def read_limited(path: str | os.PathLike[str], most: int) -> bytes | None:
    """The bytes of a file; None where there are more than `most`, or no end.

    Raises:
        OSError, ValueError: it cannot be read, or there can be no such path.
    """
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > most:
            return None
        data = stream.read(most + 1)
    return None if len(data) > most else data


def is_packed(data: bytes) -> bool:
    """Whether bytes are gzip's, whatever the file is called."""
    return data.startswith(b"\x1f\x8b")


def unpack(data: bytes, most: int) -> bytes | None:
    """What bytes in gzip hold, or the bytes themselves where they are not packed; None where that is more than `most`.

    Too much is found out by a first pass that keeps nothing; what the archive says of itself is not believed.

    Raises:
        OSError, EOFError, zlib.error: the archive is damaged.
    """
    if not is_packed(data):
        return None if len(data) > most else data
    if len(data) * _MOST_RATIO > most and _holds_more(data, most):
        return None
    return gzip.decompress(data)


def contents(data: bytes, most: int) -> bytes:
    """What digests are of: what bytes in gzip hold, or the bytes themselves where they are not packed, or unreadable.

    Args:
        data: of a file.
        most: bytes that are unpacked.
    """
    try:
        held = unpack(data, most)
    except (OSError, EOFError, zlib.error):
        return data
    return data if held is None else held


def parts_of(path: Path) -> tuple[str, str]:
    """A file's name without its suffix, and that, with what comes before ``.gz``.

    >>> parts_of(Path("folder/out.onnx.gz"))
    ('out', '.onnx.gz')
    """
    packed = ".gz" if path.suffix == ".gz" else ""
    inner = Path(path.name.removesuffix(packed))
    return inner.stem, inner.suffix + packed


def beside(path: str | os.PathLike[str]) -> str:
    """What a hint about a file that is not there adds: that its packed, or its unpacked, form is there."""
    name = os.fspath(path)
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    try:
        return f": {other} is there" if os.path.isfile(other) else ""
    except ValueError:  # no path at all
        return ""


def _holds_more(data: bytes, most: int) -> bool:
    """Whether archives one after the other hold more; what is damaged holds no more."""
    count = 0
    while data and count <= most:
        archive = zlib.decompressobj(wbits=31)
        while data and not archive.eof and count <= most:
            count += len(archive.decompress(data, _CHUNK))
            data = archive.unconsumed_tail
        data = archive.unused_data.lstrip(b"\0")
    return count > most


@contextlib.contextmanager
def sole_writer(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock of a file that a run writes to, which is a file beside it, until the end.

    Args:
        path: the file.
        remove: remove the lock's file in the end. Of three runs, one that ends while the others begin, two may then go
            on at once: for files that are replaced as a whole, not for those that are appended to.

    Raises:
        UsageError: `files/locked`, `files/no-folder`, `files/not-writable`.
    """
    from filelock import FileLock, Timeout

    require_place(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            "files/locked",
            "another run writes to this file",
            place=Place(file=str(path)),
            hint="wait until it has ended, or name another file",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise not_writable(path, error) from error
    try:
        yield
    finally:
        if remove:
            with contextlib.suppress(OSError):  # some systems keep files that are open
                os.unlink(lock.lock_file)
        lock.release()


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """As `write_files`, for a single one."""
    write_files({Path(path): data})


def write_files(files: Mapping[Path, bytes | str]) -> None:
    """Write files that belong together: under temporary names in their folders, flushed to disk, then renamed.

    Args:
        files: by path, bytes, or text to be written as UTF-8; packed where the path ends in ``.gz``.  Existing files
            are replaced.

    Raises:
        UsageError: `files/no-folder`, `files/not-writable`; there is none of the new files then.
    """
    temporary = {path: path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.tmp" for path in files}
    renamed: list[Path] = []
    try:
        for path, data in files.items():
            require_place(path)
            with _told(path):
                plain = data.encode() if isinstance(data, str) else data
                _write(temporary[path], gzip.compress(plain, mtime=0) if path.suffix == ".gz" else plain)
        for path in files:
            with _told(path):
                os.replace(temporary[path], path)
            renamed.append(path)
    except BaseException:
        for path in renamed:
            path.unlink(missing_ok=True)
        raise
    finally:
        for name in temporary.values():
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)


def plain_name(name: str) -> str:
    """A name that any file system allows."""
    return "".join(c if c in _NAME_CHARACTERS else "_" for c in name)[:80]


def make_folder(path: Path) -> None:
    """Make a folder, and those around it, unless it is there.

    Raises:
        UsageError: `files/no-folder`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        place = Place(file=str(path))
        raise UsageError("files/no-folder", "the folder cannot be made", place=place, value=error.strerror) from error


def require_place(path: Path) -> None:
    """Raise where no file can be written under a name.

    Raises:
        UsageError: `files/no-folder`, `files/not-writable`.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "files/no-folder",
            "the folder to write into does not exist",
            place=Place(file=str(path)),
            value=str(path.parent),
            hint="create it first",
        )
    if path.is_dir():
        raise not_writable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))


def is_full(error: Exception) -> bool:
    """Whether the system says that there is no room."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def not_writable(path: Path | str, error: Exception) -> UsageError:
    """The error for a file that the system does not let us write."""
    return UsageError(
        "files/not-writable",
        "the file cannot be written",
        place=Place(file=str(path)),
        value=getattr(error, "strerror", None) or str(error),
        hint="make room, or name a file elsewhere" if is_full(error) else "name a file elsewhere",
    )


def version() -> str:
    """Of this eqverify.  Looked up among the loaded modules: nothing below may import the package's front."""
    return str(sys.modules["eqverify"].__dict__["__version__"])


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise not_writable(path, error) from error


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
