"""Layers rebuilt from responses: factors fitted to what a network's layers answer to real images."""

LINEAR, NONLINEAR, DATA_FREE = "linear", "nonlinear", "data-free"  # what made the factors of a chain
SOLVERS = LINEAR, NONLINEAR
METRICS = NETWORK, RESPONSES = "network", "responses"     # in which an error of a response counts
