"""INT8 by MXNet's oneDNN operators: graphs partitioned and quantized, ranges of tensors, stored form."""
