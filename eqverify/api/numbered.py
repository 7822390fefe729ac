"""Several reductions of one problem as numbered files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eqverify.api.properties import Version
    from eqverify.api.reduction import Reduction


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
) -> tuple[tuple[Path, ...], ...]:
    """Write each reduction to files of its own, as `Reduction.save` with numbered paths; the files of each."""
    networks = numbered(Path(path), len(reductions))
    queries = [None] * len(reductions) if query is None else numbered(Path(query), len(reductions))
    return tuple(
        reduction.save(file, property=own, fold_property=fold_property, property_version=property_version)
        for reduction, file, own in zip(reductions, networks, queries, strict=True)
    )


def plot_all(reductions: Sequence[Reduction], path: str | Path) -> tuple[Path, ...]:
    """Draw each reduction into a file of its own, with a number before the suffix where there are several."""
    files = numbered(Path(path), len(reductions))
    for reduction, file in zip(reductions, files, strict=True):
        reduction.plot(file)
    return files
