"""From bytes to a checked ONNX model."""

from __future__ import annotations

import zlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import defs

from eqverify.errors import InputError, Place, UsageError
from eqverify.files import Serialised, Source, beside, contents, read_limited, unpack
from eqverify.frontend.onnx.external import with_outside_data
from eqverify.frontend.onnx.functions import inlined
from eqverify.frontend.onnx.limits import MAX_FILE_BYTES
from eqverify.frontend.onnx.table import OLDEST_OPSET

DEFAULT_DOMAINS = ("", "ai.onnx")


def read_bytes(path: Source) -> bytes:
    """The bytes of a whole model: a file, unpacked where it is gzip by its content, with the weights beside it in it.

    Bytes and models in memory are whole by themselves.

    Raises:
        UsageError: `onnx/no-file`, `onnx/unreadable`.
        InputError: `onnx/malformed` (damaged gzip), `onnx/too-large`, `onnx/external-data`.
    """
    if isinstance(path, bytes | Serialised):
        return unpacked(path if isinstance(path, bytes) else path.SerializeToString())
    place = Place(file=str(path))
    try:
        data = read_limited(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        hint = f"check the path{beside(path)}"
        raise UsageError("onnx/no-file", "there is no such model file", place=place, hint=hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError("onnx/unreadable", "the model file cannot be read", place=place, value=reason) from error
    if data is None:
        raise _too_large(place)
    return with_outside_data(unpacked(data, str(path)), path)


def whole_bytes(stored: bytes, path: str | Path) -> bytes:
    """What stands for a model file in digests: its bytes, unpacked, with the weights beside it in them.

    Args:
        stored: the bytes of the file, damaged ones too.
        path: the file.

    Raises:
        InputError: as `read_bytes`, for the weights beside it.
    """
    return with_outside_data(contents(stored, MAX_FILE_BYTES), path)


def unpacked(data: bytes, source: str | None = None) -> bytes:
    """The bytes of a model that may be packed by gzip.

    Raises:
        InputError: `onnx/malformed` (damaged gzip), `onnx/too-large`.
    """
    place = Place(file=source)
    try:
        model = unpack(data, MAX_FILE_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError("onnx/malformed", "not a whole gzip file", place=place, value=str(error)) from error
    if model is None:
        raise _too_large(place)
    return model


def _too_large(place: Place) -> InputError:
    limit, hint = f"{MAX_FILE_BYTES >> 20} MiB, unpacked", "protobuf, in which models are stored, ends there"
    return InputError("onnx/too-large", "the model is larger than what is read", place=place, value=limit, hint=hint)


def load_model(data: bytes, source: str | None) -> onnx.ModelProto:
    """Decode and check a model, and put the bodies of its own functions in the place of calls.

    Args:
        data: the bytes of a file.
        source: its path, for errors.

    Raises:
        InputError: `onnx/empty`, `onnx/malformed`, `onnx/no-graph`, `onnx/external-data`, `onnx/invalid`, and as
            `inlined`.

    Trusted: protobuf's decoder, `onnx.checker` (structure: names, order, attributes of each operator), `onnx.inliner`.
    """
    place = Place(file=source)
    if not data:
        raise InputError("onnx/empty", "the model file is empty", place=place)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError) as error:
        raise InputError(
            "onnx/malformed",
            "the file is not an ONNX model, or is truncated",
            place=place,
            value=f"{len(data)} bytes",
            hint="download or export the model again",
        ) from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise InputError(
            "onnx/no-graph",
            "the file holds no ONNX graph",
            place=place,
            hint="is this the right file? (PyTorch's .pt is not ONNX)",
        )
    _refuse_external(model, place)
    try:
        onnx.checker.check_model(_with_shapes(model) or data)
    except (onnx.checker.ValidationError, ValueError, RuntimeError, UnicodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(
            "onnx/invalid",
            "onnx.checker rejects the model",
            place=place,
            value=lines[0] if lines else None,
            hint="export the model again",
        ) from error
    return inlined(model, place)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with an empty shape for each input and output that has none; None where all have one.

    `onnx.checker` wants shapes, runtimes do not.  What they are is found while the graph is lowered.
    """
    ports = [*model.graph.input, *model.graph.output]
    if all(info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape") for info in ports):
        return None
    patched = onnx.ModelProto()
    patched.CopyFrom(model)
    for info in (*patched.graph.input, *patched.graph.output):
        if info.type.WhichOneof("value") in (None, "tensor_type"):
            info.type.tensor_type.elem_type = info.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
            info.type.tensor_type.shape.SetInParent()
    return patched


def _refuse_external(model: onnx.ModelProto, place: Place) -> None:
    """Refuse weights outside the file before `onnx.checker` looks for them."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InputError(
                "onnx/external-data",
                "the numbers of a tensor are stored outside the model file",
                place=Place(file=place.file, node=tensor.name),
                hint="save the model into one file: onnx.save(onnx.load(path), path, save_as_external_data=False)",
            )


def declared_opset(model: onnx.ModelProto) -> int | None:
    """The version of the default operator set the model imports, or None."""
    versions = [entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS]
    return max(versions, default=None)


def opset_range() -> tuple[int, int]:
    """The oldest and the newest opset that are read."""
    return OLDEST_OPSET, defs.onnx_opset_version()


def supported_opset(model: onnx.ModelProto, source: str | None) -> int:
    """The opset version, once it is known to be one that is read.

    Raises:
        InputError: `onnx/opset`.
    """
    version, newest = declared_opset(model), defs.onnx_opset_version()
    if version is None or not OLDEST_OPSET <= version <= newest:
        raise InputError(
            "onnx/opset",
            "the model's opset is not supported",
            place=Place(file=source),
            value="none" if version is None else version,
            hint=f"opsets {OLDEST_OPSET} to {newest} are read; onnx.version_converter converts older models",
        )
    return version
