"""A network to train, the command of fine_tune.py changed, and what it wrote."""
import os
import re
import subprocess
import sys

from accnn import fine_tune
from accnn.core.compat import mx
from networks import random_model
from processes import interruptible

PATIENCE = 120  # seconds, on a busy machine
SCRIPT = fine_tune.__file__


def dropping_model(classes=5):
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=16, name="fc1")
    x = mx.sym.Dropout(mx.sym.Activation(x, act_type="relu"), p=0.5)
    x = mx.sym.FullyConnected(x, num_hidden=classes, name="fc2")
    return random_model(mx.sym.SoftmaxOutput(x, name="softmax"), data=(3, 12, 12))


def replaced(command, **options):
    """The command with other values: model_prefix='x' stands for --model-prefix x, None leaves the option out."""
    command = list(command)
    for name, value in options.items():
        name = "-m" if name == "m" else "--" + name.replace("_", "-")
        if name in command:
            place = command.index(name)
            command[place:place + 2] = [name, value] if value is not None else []
        else:
            command += [name, value]
    return command


def snapshot(folder):
    """Contents of all files below a folder."""
    return {os.path.join(root, name): open(os.path.join(root, name), "rb").read()
            for root, _, names in os.walk(str(folder)) for name in names}


def epochs(folder):
    """Bytes of all checkpoints of epochs, and of the best one, by name."""
    return {os.path.basename(path): content for path, content in snapshot(folder).items()
            if re.search(r"out(-best)?-\d{4}\.params$", path)}


def start(command, *more, **how):
    return subprocess.Popen([sys.executable, SCRIPT] + command + list(more), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=interruptible, **how)
