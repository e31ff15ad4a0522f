"""Fine-tuning of every way to end a network makes the steps of its cross-entropy, as plain MXNet makes them."""
import numpy as np
import pytest

from accnn.core.compat import mx
from accnn.runtime.distributed import Job
from accnn.runtime.fusion import unfused
from accnn.scoring.heads import class_head, settled
from accnn.training import optimizer
from accnn.training.objective import check_trainable
from accnn.training.optimizer import scheduler
from accnn.training.trainer import Trainer
from endings import ENDINGS, trained_by_hand
from networks import outputs, random_model
from trainers import BATCH, SHAPE, arrays, batch, small_net

STEPS, RATE = 4, 0.3
BATCHES = [batch(number) for number in range(STEPS)]


@pytest.mark.parametrize("name", ENDINGS)
def test_steps_are_those_of_the_probabilities(name):
    end, _ = ENDINGS[name]
    model, shapes = random_model(end(small_net("scores")), data=SHAPE), {"data": SHAPE}
    with unfused():  # which is wrong behind a fully connected layer that two exponentials read
        head = settled(model, class_head(model, shapes), outputs(model, data=BATCHES[0][0])[0])
    check_trainable(model, head, shapes)
    how = optimizer.parameters("sgd", scheduler("constant", RATE, 100), 0.0, 0.0)
    made = Trainer(model, head, shapes, BATCH, Job(), [mx.cpu()], "sgd", how)
    for step, (images, labels) in enumerate(BATCHES):
        made.step(mx.nd.array(images), mx.nd.array(labels), 1, step)
    mx.nd.waitall()
    found = arrays(made.model())
    wanted = trained_by_hand(small_net("scores"), name, arrays(model), BATCHES, RATE)
    assert np.abs(wanted["fc_weight"] - arrays(model)["fc_weight"]).max() > 0.01
    for parameter, array in wanted.items():
        np.testing.assert_allclose(found[parameter], array, atol=1e-5, err_msg=parameter)
