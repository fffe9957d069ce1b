"""A finished network as an ONNX file that ONNX Runtime executes."""
