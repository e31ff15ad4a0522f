"""What the tests of fine-tuning share: pictures of bare pixels, networks of few parameters, one trainer."""
import numpy as np

from accnn.core.compat import mx
from accnn.runtime.distributed import Job
from accnn.scoring.heads import class_head
from accnn.training import optimizer
from accnn.training.optimizer import scheduler
from accnn.training.trainer import Trainer
from networks import random_model

SHAPE, CLASSES, BATCH = (3, 6, 5), 4, 8


def small_net(end="SoftmaxOutput", dropout=0.0):
    """Convolution, ReLU, fully connected layer and a head of the given form."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), stride=(2, 2), num_filter=3, name="conv")
    x = mx.sym.Activation(x, act_type="relu", name="relu")
    if dropout:
        x = mx.sym.Dropout(x, p=dropout, name="drop")
    return ended(mx.sym.FullyConnected(x, num_hidden=CLASSES, name="fc"), end)


def ended(scores, end):
    """`scores` with one of the heads that people's networks have."""
    probability = mx.sym.SoftmaxOutput(scores, name="softmax")
    return {"SoftmaxOutput": probability, "scores": scores, "softmax": mx.sym.softmax(scores, name="prob"),
            "log_softmax": mx.sym.log_softmax(scores, name="logs"),
            "SoftmaxActivation": mx.sym.SoftmaxActivation(scores, name="prob"),
            "Flatten": mx.sym.Flatten(probability, name="flat"), "_copy": mx.sym.identity(probability, name="copied"),
            "scores, Flatten": mx.sym.Flatten(scores, name="flat"),
            "BlockGrad": mx.sym.BlockGrad(probability, name="block")}[end]


def small_model(end="SoftmaxOutput", seed=0, **how):
    return random_model(small_net(end, **how), seed, data=SHAPE)


def deep_model(layers=20, shape=SHAPE, width=8, seed=0):
    """Convolutions with BatchNorm and ReLU: after the answer to a batch much of its backward pass is still to come."""
    x = mx.sym.Variable("data")
    for number in range(layers):
        x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=width, no_bias=True, name="conv%d" % number)
        x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, name="bn%d" % number), act_type="relu")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")
    x = mx.sym.FullyConnected(x, num_hidden=10, name="fc")
    return random_model(mx.sym.SoftmaxOutput(x, name="softmax"), seed, data=shape)


def batch(number=0, size=BATCH, shape=SHAPE, classes=CLASSES):
    """(images, labels) as ndarrays."""
    rng = np.random.RandomState(number)
    return rng.uniform(-1, 1, (size,) + tuple(shape)).astype(np.float32), rng.randint(0, classes, size)


def trainer(model, shape=SHAPE, size=BATCH, output=None, rule="sgd", lr=0.1, mom=0.9, wd=0.01, contexts=None,
            job=None, schedule=None, **how):
    """A Trainer on the CPU, at a constant rate."""
    head = class_head(model, {"data": shape}, output)
    said = optimizer.parameters(rule, schedule or scheduler("constant", lr, 1000), mom, wd)
    return Trainer(model, head, {"data": shape}, size, job or Job(), contexts or [mx.cpu()], rule, said, **how)


def train(made, steps=1, **how):
    """Make steps; return what the network said to each of the batches before."""
    said = []
    for step in range(steps):
        images, labels = batch(step, **how)
        said.append(made.step(mx.nd.array(images), mx.nd.array(labels), 1, step).probabilities.asnumpy())
    return said


def arrays(model):
    """dict of str to ndarray: all parameters."""
    return {name: array.asnumpy() for some in (model.arg_params, model.aux_params) for name, array in some.items()}


def same(first, second):
    """set of str: the parameters that are equal, bit for bit."""
    return {name for name, array in arrays(first).items() if array.tobytes() == arrays(second)[name].tobytes()}
