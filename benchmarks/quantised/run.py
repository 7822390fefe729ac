"""Quantises networks with onnxruntime's own quantiser, and proves how far they are from the originals.

    python benchmarks/quantised/run.py --output results.csv DIGITS.onnx DIGITS.vnnlib ...

Arguments are pairs of a network and a property, whose inputs are the domain and calibrate the quantiser.  The proved
eps stands beside the largest difference seen: of runs of both files by onnxruntime at points of the domain, or in the
search that looks for one.
"""

from __future__ import annotations

import argparse
import csv
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

import eqverify as eq
import eqverify.api.loading
import eqverify.frontend.onnx
from eqverify.api.equivalence import load_domain
from eqverify.attack.points import sample_boxes
from eqverify.domain import Domain
from eqverify.export.runtime import run_model

FIELDS = ("network", "property", "share", "form", "epsilon", "seen", "ratio", "unknowns", "seconds")
ANY = 1e6
"""An epsilon that is surely met: what is proved of the whole domain is then the answer's own."""


def modern(path: Path) -> onnx.ModelProto:
    """The model as onnxruntime's quantiser takes for granted: initialisers are no inputs, scales may have an axis."""
    model = onnx.load_from_string(eq.frontend.onnx.read_bytes(path))
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 8)
    return version_converter.convert_version(model, max(13, model.opset_import[0].version))


def forms(model: onnx.ModelProto, domain: Domain, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The model in int8: with pairs of operators and with operators of integers, per tensor and per channel."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    source, random = folder / "source.onnx", np.random.default_rng(0)
    onnx.save(model, source)
    (port,) = model.graph.input
    shape = [extent.dim_value or 1 for extent in port.type.tensor_type.shape.dim]
    points = sample_boxes(domain.lower, domain.upper, 100, random).astype(np.float32)

    class Points(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(points)

        def get_next(self) -> dict[str, object] | None:
            point = next(self.left, None)
            return None if point is None else {port.name: point.reshape(shape)}

    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        for per_channel in (False, True):
            made = folder / "made.onnx"
            types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
            quantize_static(source, made, Points(), quant_format=form, per_channel=per_channel, **types)
            yield f"{form.name} per {'channel' if per_channel else 'tensor'}", made.read_bytes()
    quantize_dynamic(source, made, weight_type=QuantType.QUInt8)
    yield "dynamic", made.read_bytes()
    yield from half(model)


def half(model: onnx.ModelProto) -> Iterator[tuple[str, bytes]]:
    """The model in float16, where the converter is installed."""
    try:
        from onnxconverter_common import float16
    except ImportError:
        return
    yield "float16", float16.convert_float_to_float16(model, keep_io_types=True).SerializeToString()


def within(domain: Domain, share: float) -> Domain:
    """The box around the domain, with its widths times a share."""
    half = (domain.hull.upper - domain.hull.lower) * share / 2
    return eq.api.loading.given_inputs((domain.hull.centre - half, domain.hull.centre + half))


def row(network: Path, query: Path, share: float, form: str, data: bytes, count: int, timeout: float):
    """One line of the table."""
    domain, start = within(load_domain(query), share), time.process_time()
    answer = eq.equivalent(network, data, domain, epsilon=ANY, timeout=timeout)
    seconds = time.process_time() - start
    points = sample_boxes(domain.lower, domain.upper, count, np.random.default_rng(1))
    runs = [run_model(model, points, one_by_one=True) for model in (eq.frontend.onnx.read_bytes(network), data)]
    seen = max(float(np.abs(runs[0] - runs[1]).max()), answer.deviation or 0.0)
    read = eq.frontend.onnx.parse_front(data, roundings=True).network
    epsilon = answer.epsilon if answer.verdict == "equivalent" else float("nan")
    names = (network.name.removesuffix(".onnx"), query.name.split(".vnnlib")[0], share, form)
    unknowns = read.input_size - read.own_size
    numbers = (f"{epsilon:.4g}", f"{seen:.4g}", f"{epsilon / seen:.3g}", unknowns, f"{seconds:.1f}")
    return dict(zip(FIELDS, (*names, *numbers), strict=True))


def main() -> None:
    """Write the table."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--share", type=float, nargs="*", default=[1.0], help="of the property's widths")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--timeout", type=float, default=120.0)
    given = parser.parse_args()
    new = not given.output.exists()
    with given.output.open("a", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            table.writeheader()
        for network, query in zip(given.pairs[::2], given.pairs[1::2], strict=True):
            with tempfile.TemporaryDirectory() as folder:
                for form, data in forms(modern(network), load_domain(query), Path(folder)):
                    for share in given.share:
                        table.writerow(row(network, query, share, form, data, given.points, given.timeout))
                        file.flush()


if __name__ == "__main__":
    main()
