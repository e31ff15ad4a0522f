"""Networks to accelerate: their symbols, their pretrained weights, random weights for benchmarks.

This file makes the folder a regular package, which Python prefers over any other folder of the
same name on the path (tests/model_zoo, for one).
"""
