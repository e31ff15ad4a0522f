"""Write a network as ONNX, once onnxruntime has computed from the file what MXNet computes from the checkpoint.

    python export.py -m vgg16 --save-model vgg16.onnx
    python export.py -m vgg16 --save-model vgg16.onnx --data-calib photos.rec --rgb-mean 123.68,116.779,103.939

Needs onnx and onnxruntime: pip install '.[onnx]'. Where an output differs by more than 1e-4 of its largest number,
nothing is written, and the first node whose output does is named.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.export", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())
