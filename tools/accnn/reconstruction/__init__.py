"""Layers rebuilt from responses: factors fitted to what a network's layers answer to real images."""
