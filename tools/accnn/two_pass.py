"""Speed up a network group by group, training it in between: iterative two-pass decomposition.

    python two_pass.py -m vgg16 --ratio 4 --data-train train.rec --data-val val.rec --save-model new-vgg16 \\
        --rgb-mean 123.68,116.779,103.939
    python two_pass.py ... --resume                go on where a killed run stopped
    python two_pass.py ... --one-pass together     to compare with: everything at once, as many epochs
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.two_pass", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())
