"""Write a network to accelerate: pretrained, or with random weights for benchmarks.

    python model_zoo/get_model.py vgg16                  # from the Gluon model store, checked by SHA-1
    python model_zoo/get_model.py vgg16 --random-init    # without any network: for timing only
    python model_zoo/get_model.py --list

writes vgg16-symbol.json and vgg16-0000.params. Behind a firewall, --url or MXNET_GLUON_REPO name a
mirror of the store; http_proxy, https_proxy and no_proxy are respected. A download that was cut
is resumed by the next run.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(sys.path[0], "tools"))

from accnn.cli.main import Script

script = Script("model_zoo.command", __doc__)
parser, main = script.parser, script.main

if __name__ == "__main__":
    sys.exit(main())
