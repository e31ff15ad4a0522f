"""Make a network compute with whole numbers of 8 bits: INT8 by MXNet's own oneDNN operators, for plain MXNet.

    python quantize.py -m vgg16 --data-calib calib.rec --save-model vgg16-int8

Works on checkpoints of any kind, accelerated by accnn.py or not; score.py and benchmark.py take the result.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys
from importlib import import_module
from types import ModuleType

from accnn.cli.main import Script

script = Script("accnn.cli.quantize", __doc__)
parser, main = script.parser, script.main


class _Callable(ModuleType):
    """``accnn.quantize`` is this module once anybody has imported it, and in any case the function for Python."""

    def __call__(self, model, images, input_shapes=None, **options):
        """Return the INT8 form of a Model: see :func:`accnn.reconstruction.int8.int8_form`."""
        return import_module("accnn.reconstruction.int8").int8_form(model, images, input_shapes, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())
