"""Fine-tune a checkpoint, such as an accelerated one, on RecordIO images.

    python fine_tune.py --pretrained-model new-vgg16 --data-train train.rec --data-val val.rec --model-prefix tuned \\
        --rgb-mean 123.68,116.779,103.939
    python fine_tune.py ... --teacher vgg16        the original network teaches the accelerated one
    python fine_tune.py ... --resume               go on where a killed run stopped
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import JobScript

script = JobScript("accnn.cli.fine_tune", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())
