"""The job that writes weights as an ONNX file."""
