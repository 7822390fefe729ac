"""Writing networks as ONNX models, and comparing written models with onnxruntime."""
