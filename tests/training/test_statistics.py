"""Statistics of BatchNorm, which MXNet writes in the backward pass without its engine knowing, are never read early."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.runtime.distributed import Job
from trainers import batch, deep_model, train, trainer

DEEP, EPOCHS, STEPS, SIZE = (3, 32, 32), 3, 2, 16


class TwoWorkers(Job):
    """A job of two workers that see the same images."""

    workers = 2

    def sum(self, array):
        return 2 * array


def plain_epochs():
    """Statistics after every epoch of MXNet's own loop, which is idle after every step."""
    model = deep_model(shape=DEEP)
    module = mx.mod.Module(model.symbol, ["data"], ["softmax_label"])
    module.bind([("data", (SIZE,) + DEEP)], [("softmax_label", (SIZE,))])
    module.set_params(model.arg_params, model.aux_params)
    module.init_optimizer("local", "sgd", {"learning_rate": 0.01, "momentum": 0.9, "wd": 0.0})
    found = []
    for _ in range(EPOCHS):
        for step in range(STEPS):
            images, labels = (mx.nd.array(array) for array in batch(step, SIZE, DEEP))
            module.forward_backward(mx.io.DataBatch([images], [labels]))
            module.update()
            mx.nd.waitall()
        states = module._exec_group.execs[0].aux_dict
        found.append({name: array.asnumpy() for name, array in states.items()})
    return found


READERS = {
    "model": lambda made: made.model().aux_params,
    "arrays": lambda made: made.arrays()["aux"],
    "mean_statistics": lambda made: made.mean_statistics(),
    "share_statistics": lambda made: [made.share_statistics(), made.model().aux_params][1],
}


@pytest.fixture(scope="module")
def wanted():
    return plain_epochs()


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_them_sees_the_last_update(reader, wanted):
    job = TwoWorkers() if reader.endswith("statistics") else Job()
    made = trainer(deep_model(shape=DEEP), DEEP, SIZE, lr=0.01, wd=0.0, job=job)
    for states in wanted:
        train(made, STEPS, size=SIZE, shape=DEEP)
        found = READERS[reader](made)
        assert set(found) == set(states) and len(states) == 40
        for name, array in states.items():
            np.testing.assert_allclose(found[name].asnumpy(), array, rtol=1e-5, atol=1e-6, err_msg=name)
