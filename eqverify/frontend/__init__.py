"""Readers of properties (VNN-LIB) and networks (ONNX).  Know nothing of bounds or transformations."""
