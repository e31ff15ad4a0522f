"""Ends of networks that yield probabilities, or their logarithms, in other ways than by one softmax.

Each is made of class scores in MXNet, and says in NumPy which probabilities they become.
"""
import numpy as np

from accnn.core.compat import mx

S = mx.sym


def softmax(scores):
    """ndarray of float64, shape (n, classes)."""
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def soft(x, **how):
    return S.softmax(x, name="prob", **how)


def by_hand(x, guard=False):
    x = S.broadcast_sub(x, S.max(x, axis=1, keepdims=True)) if guard else x
    powers = S.exp(x)
    return S.broadcast_div(powers, S.sum(powers, axis=1, keepdims=True), name="by_hand")


def mean_of_two(x, op=soft):
    return (op(x) + op(x * 0.5)) * 0.5


def output(x):
    return S.SoftmaxOutput(x, name="softmax")


def pooled(x):
    """The mean of the probabilities at four places, whose scores are multiples of the ones given."""
    places = S.Concat(*(S.reshape(x * factor, shape=(0, 0, 1, 1)) for factor in (1, 1, 2, 2)), dim=3)
    return S.Flatten(S.Pooling(S.softmax(places, axis=1), global_pool=True, kernel=(1, 1), pool_type="avg"))


def halves(scores):
    return (softmax(scores) + softmax(scores * 0.5)) / 2


# name: (end, probabilities)
ENDINGS = {
    "SoftmaxOutput": (output, softmax),
    "softmax": (soft, softmax),
    "softmax, temperature 2": (lambda x: soft(x, temperature=2.0), lambda scores: softmax(scores / 2)),
    "clip": (lambda x: S.clip(soft(x), a_min=1e-7, a_max=1 - 1e-7), softmax),
    "clip of a loss": (lambda x: S.clip(output(x), a_min=1e-7, a_max=1.0), softmax),
    "wide clip": (lambda x: S.clip(soft(x), a_min=0.1, a_max=0.9), lambda scores: np.clip(softmax(scores), 0.1, 0.9)),
    "* 1": (lambda x: soft(x) * 1, softmax),
    "* 100": (lambda x: soft(x) * 100, softmax),
    "/ 1": (lambda x: soft(x) / 1, softmax),
    "+ 1e-8": (lambda x: soft(x) + 1e-8, softmax),
    "expand_dims": (lambda x: S.expand_dims(soft(x), axis=2), softmax),
    "squeeze": (lambda x: S.squeeze(S.expand_dims(soft(x), axis=1), axis=(1,)), softmax),
    "transpose": (lambda x: S.transpose(S.reshape(soft(x), shape=(0, 0, 1, 1)), axes=(0, 2, 3, 1)), softmax),
    "SwapAxis": (lambda x: S.SwapAxis(S.expand_dims(soft(x), axis=1), dim1=1, dim2=2), softmax),
    "Dropout": (lambda x: S.Dropout(soft(x), p=0.5), softmax),
    "Dropout of a loss": (lambda x: S.Dropout(output(x), p=0.5), softmax),
    "slice of all": (lambda x: S.slice_axis(soft(x), axis=1, begin=0, end=None), softmax),
    "slice": (lambda x: S.slice_axis(soft(S.Concat(x, S.slice_axis(x, axis=1, begin=0, end=1), dim=1)), axis=1,
                                     begin=0, end=-1),
              lambda scores: softmax(np.concatenate([scores, scores[:, :1]], axis=1))[:, :-1]),
    "mean of two": (mean_of_two, halves),
    "mean of two losses": (lambda x: mean_of_two(x, S.SoftmaxOutput), halves),
    "mean of places": (pooled, lambda scores: (softmax(scores) + softmax(2 * scores)) / 2),
    "blocked mean": (lambda x: S.BlockGrad(mean_of_two(x)), halves),
    "dropped mean": (lambda x: S.Dropout(mean_of_two(x), p=0.5), halves),
    "exp / sum": (by_hand, softmax),
    "exp / sum, guarded": (lambda x: by_hand(x, guard=True), softmax),
    "L1 of exp": (lambda x: S.broadcast_mul(S.exp(x), S.reciprocal(S.sum(S.exp(x), axis=1, keepdims=True))), softmax),
    "log": (lambda x: S.log(soft(x)), softmax),
    "log of clip": (lambda x: S.log(S.clip(soft(x), a_min=1e-12, a_max=1.0)), softmax),
    "log of a mean": (lambda x: S.log(mean_of_two(x)), halves),
    "log_softmax": (lambda x: S.log_softmax(x), softmax),
    "log_softmax, transposed": (lambda x: S.transpose(S.expand_dims(S.log_softmax(x), axis=2), axes=(0, 2, 1)),
                                softmax),
    "exp of log_softmax": (lambda x: S.exp(S.log_softmax(x)), softmax),
    "x - log sum": (lambda x: S.broadcast_sub(x, S.log(S.sum(S.exp(x), axis=1, keepdims=True))), softmax),
    "softmin of -x": (lambda x: S.softmin(-x), softmax),
    "scores": (lambda x: x, softmax),
}
# What is trained of those whose cross-entropy is another than that of a softmax of the scores; the probabilities of a
# slice are trained as those that its classes have among themselves, and a clip does not stop the gradient.
TRAINED = {"softmax, temperature 2": lambda x: soft(x * 0.5), "mean of two": mean_of_two, "mean of places": pooled,
           "mean of two losses": mean_of_two, "blocked mean": mean_of_two, "dropped mean": mean_of_two,
           "log of a mean": mean_of_two}


def trained_by_hand(scores, end, arrays, batches, rate):
    """dict of str to ndarray: parameters after steps of -log p by plain MXNet, `end` being differentiable as it is."""
    loss = S.MakeLoss(S.log(S.pick(TRAINED.get(end, soft)(scores), S.Variable("label"), axis=1)) * -1)
    executor = loss.simple_bind(mx.cpu(), data=batches[0][0].shape, label=batches[0][1].shape)
    executor.copy_params_from({name: mx.nd.array(array) for name, array in arrays.items()})
    for images, labels in batches:
        executor.forward(is_train=True, data=mx.nd.array(images), label=mx.nd.array(labels))
        executor.backward()
        for name in arrays:
            executor.arg_dict[name][:] -= rate / len(labels) * executor.grad_dict[name]
    return {name: executor.arg_dict[name].asnumpy() for name in arrays}
