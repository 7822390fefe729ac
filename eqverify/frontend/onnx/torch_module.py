"""Modules of torch, by torch's own exporter.  torch is imported only where a module is given."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from eqverify.errors import InputError, UsageError


@runtime_checkable
class TorchModule(Protocol):
    """What looks like a ``torch.nn.Module``."""

    def state_dict(self) -> Mapping[str, Any]:
        """Parameters and buffers by name."""

    def eval(self) -> Any:
        """Turn to evaluation."""


def export_module(module: TorchModule, shape: Sequence[int]) -> bytes:
    """The ONNX model that torch's exporter makes of a copy of a module in evaluation mode.

    Args:
        module: a ``torch.nn.Module`` of one input tensor.
        shape: of the inputs that count, row-major; with one axis or none, a batch of one is put before it.

    Returns:
        The bytes of the model.  Trusted: that the exporter writes what the module computes; whatever is proved is about
        the model.

    Raises:
        UsageError: `usage/torch` where torch or its exporter is not installed.
        InputError: `onnx/torch` where torch cannot export the module for inputs of this shape.
    """
    try:
        import onnxscript  # noqa: F401 - torch's exporter needs it
        import torch
    except ImportError as error:
        hint = "pip install 'eqverify[torch]', or give the path of an ONNX file"
        raise UsageError("usage/torch", "torch cannot export its modules here", value=str(error), hint=hint) from error
    full = tuple(shape) if len(shape) > 1 else (1, *shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored: Any = copy.deepcopy(module)
            stored = stored.cpu().eval()
            kind = next((value.dtype for value in stored.parameters() if value.is_floating_point()), torch.float32)
            example = torch.zeros(full, dtype=kind)
            program = torch.onnx.export(stored, (example,), dynamo=True, verbose=False)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(
            "onnx/torch",
            "torch cannot export the module for such inputs",
            value=f"shape {'x'.join(map(str, full))}: {type(error).__name__}: {first}",
            hint="give bounds as arrays of the shape that the module takes, with its batch of one",
        ) from error
    data: bytes = program.model_proto.SerializeToString()
    return data
