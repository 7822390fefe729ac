"""Weights in files beside a model, as exporters write them: read into it, from the model's own folder only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError, EncodeError

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.limits import MAX_FILE_BYTES


def with_outside_data(data: bytes, path: str | Path) -> bytes:
    """The bytes of a model that needs no other file.

    Args:
        data: an uncompressed model.
        path: its file; the files that it names are looked for in that folder.

    Raises:
        InputError: `onnx/external-data` (no such file, not inside the folder, not that long), `onnx/too-large`.

    Returns:
        `data` itself where everything is in it, or where it is no model.
    """
    if b"location" not in data:  # the key of every entry that names a file
        return data
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError):
        return data
    left, outside = MAX_FILE_BYTES - len(data), [t for t in _tensors(model) if t.data_location == t.EXTERNAL]
    for tensor in outside:
        tensor.raw_data = _numbers(tensor, Path(path), left)
        left -= len(tensor.raw_data)
        tensor.ClearField("data_location")
        tensor.ClearField("external_data")
    try:
        return bytes(model.SerializeToString(deterministic=True)) if outside else data
    except (ValueError, EncodeError, RuntimeError):
        raise _too_large(Place(file=str(path))) from None


def _tensors(part: onnx.ModelProto | onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """All stored tensors, those in attributes and inner graphs too."""
    if isinstance(part, onnx.ModelProto):
        for inner in (part.graph, *part.functions):
            yield from _tensors(inner)
        return
    if isinstance(part, onnx.GraphProto):
        yield from part.initializer
    for node in part.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(graph)


def _numbers(tensor: onnx.TensorProto, path: Path, most: int) -> bytes:
    """What a file beside the model holds for a tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    place, location = Place(file=str(path), node=tensor.name), entries.get("location", "")
    inside = [*PurePosixPath(location).parts, *PureWindowsPath(location).parts]
    if not location or ".." in inside or PurePosixPath(location).root or PureWindowsPath(location).anchor:
        raise _outside(place, "the file of a tensor's numbers is not named inside the model's folder", location)
    try:
        offset, length = int(entries.get("offset", "0")), int(entries["length"]) if "length" in entries else None
        folder = path.parent.resolve(strict=True)
        target = (folder / location).resolve(strict=True)
        if not target.is_relative_to(folder) or not target.is_file():
            raise _outside(place, "a tensor's numbers are not in a file inside the model's folder", location)
        with target.open("rb") as stream:
            return _part(stream, offset, length, most, place)
    except (OSError, ValueError, RuntimeError) as error:  # the last one for circles of links
        reason = f"{location}: {getattr(error, 'strerror', None) or error}"
        raise _outside(place, "a tensor's numbers are in a file that cannot be read", reason) from error


def _part(stream: BinaryIO, offset: int, length: int | None, most: int, place: Place) -> bytes:
    size = stream.seek(0, 2)
    wanted = size - offset if length is None else length
    if not 0 <= offset <= offset + wanted <= size:
        value = f"{wanted} bytes from {offset} on, of {size}"
        raise _outside(place, "the file of a tensor's numbers is shorter than the model says", value)
    if wanted > most:
        raise _too_large(place)
    stream.seek(offset)
    return stream.read(wanted)


def _outside(place: Place, message: str, value: str) -> InputError:
    hint = "keep the model and its data files in one folder, or save it into one file with onnx.save"
    return InputError("onnx/external-data", message, place=place, value=value[:200], hint=hint)


def _too_large(place: Place) -> InputError:
    limit = f"{MAX_FILE_BYTES >> 20} MiB, the data beside it counted"
    return InputError("onnx/too-large", "the model is larger than what is read", place=place, value=limit)
