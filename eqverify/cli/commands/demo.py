"""`eqverify demo`."""

from __future__ import annotations

from pathlib import Path

from eqverify.cli.commands.reduce import reduce
from eqverify.files import make_folder


def demo(*, folder: Path = Path("eqverify-demo")) -> None:
    """Reduce the shipped example, check the result, and draw it.

    Parameters
    ----------
    folder:
        Where the reduced network is written, and the picture, where matplotlib is installed.
    """
    from eqverify.examples import example_files
    from eqverify.report.plot import can_draw

    files = example_files()
    make_folder(folder)
    output, picture = folder / "digits-reduced.onnx", folder / "layers.png" if can_draw() else None
    drawn = f" --picture {picture}" if picture else ""
    print(f"eqverify reduce {files.network.name} {files.query.name} -o {output}{drawn}\n")
    reduce(files.network, files.query, output=output, picture=picture)
    said = picture or "not drawn, for matplotlib is not installed (pip install 'eqverify[pictures]')"
    print(f"\nThe picture of the layers before and after: {said}")
