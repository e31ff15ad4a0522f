"""What runs networks, one engine a file. To add one: write the file on the contract of ``base.py``, import it here."""
from accnn.engines import mxnet, onnxruntime, openvino  # noqa: F401  (importing registers them)
from accnn.engines.base import Engine, Network, get, names, register

DEFAULT = "mxnet"

__all__ = ["DEFAULT", "Engine", "Network", "get", "names", "register"]
