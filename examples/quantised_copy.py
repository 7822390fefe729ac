"""How far is a copy whose weights are rounded to 1/256 from the original, at most?  Proved, on the shipped property."""

import onnx
from onnx import numpy_helper

import eqverify as eq

network, query = eq.example_files()
model = onnx.load(network)
for tensor in model.graph.initializer:
    rounded = (numpy_helper.to_array(tensor) * 256).round() / 256
    tensor.CopyFrom(numpy_helper.from_array(rounded.astype("float32"), tensor.name))
onnx.save(model, "rounded.onnx")
for epsilon in (10.0, 1e-3):
    answer = eq.equivalent(network, "rounded.onnx", query, epsilon=epsilon, timeout=20)
    print(f"up to {epsilon}: {answer.verdict}, proved {answer.epsilon}, seen {answer.deviation}")
