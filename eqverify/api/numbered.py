"""Several reductions of one problem as numbered files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.files import write_files

if TYPE_CHECKING:
    from eqverify.api.properties import Version
    from eqverify.api.reduction import Reduction

Files = tuple[tuple[Path, ...], ...]
"""By reduction, the files written for it."""


def numbered(path: Path, count: int) -> tuple[Path, ...]:
    """`path` itself for one file, ``STEM-1.SUFFIX``, ``STEM-2.SUFFIX``, ... for several, none for none.

    >>> [str(file) for file in numbered(Path("out.onnx"), 2)]
    ['out-1.onnx', 'out-2.onnx']
    """
    if count == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, count + 1))


def save_all(
    reductions: Sequence[Reduction],
    path: str | Path,
    query: str | Path | None,
    fold_property: bool,
    property_version: Version | None,
    more: Callable[[Files], Mapping[Path, bytes]],
) -> Files:
    """Write each reduction to files of its own, as `Reduction.save` with numbered paths, and more: all or none.

    Args:
        reductions, path, query, fold_property, property_version: as there.
        more: further files, by path, once it is known which there are.

    Returns:
        The files of each.
    """
    from eqverify.api.properties import reduction_files

    networks = numbered(Path(path), len(reductions))
    queries = [None] * len(reductions) if query is None else numbered(Path(query), len(reductions))
    parts = [
        reduction_files(reduction, file, own, fold_property, property_version)
        for reduction, file, own in zip(reductions, networks, queries, strict=True)
    ]
    files = tuple(tuple(part) for part in parts)
    own = {file: data for part in parts for file, data in part.items()}
    write_files({**own, **more(files)})
    return files


def plot_all(reductions: Sequence[Reduction], path: str | Path) -> tuple[Path, ...]:
    """Draw each reduction into a file of its own, with a number before the suffix where there are several."""
    files = numbered(Path(path), len(reductions))
    for reduction, file in zip(reductions, files, strict=True):
        reduction.plot(file)
    return files
