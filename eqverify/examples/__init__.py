"""The shipped example: a network that reads 8x8 digits, and properties of it.

`train_digits` made the network, `digits_properties` the properties; both are reproducible.  The properties live in
``specs/properties`` of the source tree; a wheel holds them in ``eqverify/examples/properties``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from eqverify.errors import UsageError

NETWORK = "digits.onnx"
DEFAULT_PROPERTY = "digits_ball.vnnlib"


class ExampleFiles(NamedTuple):
    """Where the shipped files are.

    Attributes:
        network: the ONNX file.
        query: one property of it.
    """

    network: Path
    query: Path


def example_files(name: str = DEFAULT_PROPERTY) -> ExampleFiles:
    """The shipped network and one of its properties.

    >>> import eqverify as eq
    >>> network, query = eq.example_files()
    >>> network.name, query.name
    ('digits.onnx', 'digits_ball.vnnlib')

    Args:
        name: file name of the property, one of `property_names`.

    Returns:
        Paths of existing files, in a source tree as in an installed wheel.

    Raises:
        UsageError: `examples/no-file` for another name, or where the installation lacks the files.
    """
    files = ExampleFiles(Path(__file__).parent / NETWORK, properties_folder() / name)
    if name not in property_names() or not files.network.is_file():
        raise UsageError(
            "examples/no-file",
            "there is no such shipped property, or the shipped network is missing",
            value=name,
            hint=f"shipped properties: {', '.join(property_names()) or 'none, the installation is incomplete'}",
        )
    return files


def property_names() -> tuple[str, ...]:
    """File names of the shipped properties, sorted."""
    return tuple(sorted(path.name for path in properties_folder().glob("*.vnnlib")))


def properties_folder() -> Path:
    """The folder of the shipped properties: beside this file in a wheel, in ``specs`` in a source tree."""
    installed = Path(__file__).parent / "properties"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "specs" / "properties"
