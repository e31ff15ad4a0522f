"""Networks as ONNX files, written only when onnxruntime computes from them what MXNet computes."""
