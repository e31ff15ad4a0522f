"""python model_zoo/demo/train.py --model-prefix model_zoo/demo/digits --force

Trains the demo's network from nothing and writes the two committed files, ``digits-symbol.json`` and
``digits-0001.params``. The same machine gives the same bytes for the same seed.
"""
import argparse
import os
import sys

if not __package__:  # started as a script
    _REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The script's own folder goes off the path, so that no file in it shadows an installed module.
    sys.path[0] = os.path.join(_REPOSITORY, "tools")
    sys.path.append(_REPOSITORY)
    # Sums in parallel depend on the number of threads; read when MXNet is imported.
    os.environ["OMP_NUM_THREADS"] = "1"

from accnn import score
from accnn.cli import main as cli
from accnn.cli import outputs
from accnn.cli.replacing import add_force_option, check_replaced
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.core.files import temporary_folder, written_together
from accnn.core.progress import Progress
from accnn.data.records import open_records
from accnn.graph.checkpoint import params_path, symbol_path
from model_zoo.demo import pack_digits

# Filters of each 3x3 convolution; a pooling after every group. 64 everywhere is four blocks of the 16 channels that
# AVX-512 kernels like, and wide enough that the convolutions, not the layers between them, take the time.
CONVOLUTIONS = ((64, 64), (64, 64), (64, 64))
HIDDEN = 64            # units of fc1
DROPOUT = 0.5          # on the input of fc2, while training only
CLASSES = 10

EPOCHS = 30
BATCH_SIZE = 32
LEARNING_RATE = 0.02   # decays to zero along a cosine
MOMENTUM = 0.9
WEIGHT_DECAY = 2e-3    # strong on purpose: filters that carry nothing shrink, as in a large trained network
SHIFT = 2              # pixels that a training image may move to any side
ROTATION = 10          # degrees that it may turn to either side
SEED = 1


def network():
    """Return the symbol: a small VGG with its convolutions in pairs, and two fully connected layers.

    The first layer normalises raw pixels with statistics of its own (``bn_data``, as MXNet's ResNets do), so that
    the checkpoint needs no mean or scale on the command line.
    """
    net = mx.sym.Variable("data")
    net = mx.sym.BatchNorm(net, name="bn_data", fix_gamma=True, eps=2e-5, momentum=0.9)
    for group, filters in enumerate(CONVOLUTIONS, 1):
        for layer, num_filter in enumerate(filters, 1):
            suffix = f"{group}_{layer}"
            net = mx.sym.Convolution(net, name="conv" + suffix, num_filter=num_filter, kernel=(3, 3), pad=(1, 1))
            net = mx.sym.Activation(net, name="relu" + suffix, act_type="relu")
        net = mx.sym.Pooling(net, name=f"pool{group}", pool_type="max", kernel=(2, 2), stride=(2, 2))
    net = mx.sym.Flatten(net, name="flatten")
    net = mx.sym.FullyConnected(net, name="fc1", num_hidden=HIDDEN)
    net = mx.sym.Activation(net, name="relu_fc1", act_type="relu")
    net = mx.sym.Dropout(net, name="drop_fc1", p=DROPOUT)
    net = mx.sym.FullyConnected(net, name="fc2", num_hidden=CLASSES)
    return mx.sym.SoftmaxOutput(net, name="softmax")


def train(rec, epochs=EPOCHS, seed=SEED):
    """Train :func:`network` on a RecordIO file.

    Parameters
    ----------
    rec : str
        The ``.rec`` file, with its ``.idx`` beside it.
    epochs : int
    seed : int

    Returns
    -------
    mxnet.module.Module
    """
    mx.random.seed(seed)
    module = mx.module.Module(network(), context=mx.cpu())
    images = _training_images(rec, seed)
    updates = epochs * -(-len(open_records(rec)) // BATCH_SIZE)
    progress = Progress("training", epochs)
    module.fit(images, eval_metric="acc", num_epoch=epochs, initializer=mx.init.MSRAPrelu(slope=0),
               optimizer="sgd", optimizer_params=_optimizer(updates),
               epoch_end_callback=lambda epoch, *_: progress(epoch + 1))
    progress.close()
    return module


def _training_images(rec, seed):
    return mx.io.ImageRecordIter(
        path_imgrec=rec, path_imgidx=rec[:-len(".rec")] + ".idx", data_shape=pack_digits.IMAGE_SHAPE,
        batch_size=BATCH_SIZE, shuffle=True, seed=seed, pad=SHIFT, rand_crop=True, fill_value=0,
        max_rotate_angle=ROTATION, preprocess_threads=1, verbose=False)


def _optimizer(updates):
    schedule = mx.lr_scheduler.CosineScheduler(updates, base_lr=LEARNING_RATE, warmup_steps=updates // EPOCHS)
    return {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "wd": WEIGHT_DECAY, "lr_scheduler": schedule}


def save(module, prefix, epoch=1):
    """Write a module's checkpoint, both of its files or none."""
    arg_params, aux_params = module.get_params()
    named = {"arg:" + name: array for name, array in sorted(arg_params.items())}
    named.update(("aux:" + name, array) for name, array in sorted(aux_params.items()))
    with written_together([f"{prefix}-{epoch:04d}.params", prefix + "-symbol.json"]) as (params, symbol):
        mx.nd.save(params, named)
        module.symbol.save(symbol)


def main(argv=None):
    """Train and save as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Train the demo's network on scikit-learn's handwritten digits.")
    parser.add_argument("--model-prefix", required=True, help="writes PREFIX-symbol.json and PREFIX-0001.params")
    parser.add_argument("--num-epochs", type=int, default=EPOCHS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    add_force_option(parser)
    return cli.run(_trained, parser.parse_args(argv))


def _trained(options):
    if options.num_epochs < 1:
        raise AccnnError(f"--num-epochs must be at least 1, not {options.num_epochs}")
    prefix = options.model_prefix
    outputs.check_prefix("--model-prefix", prefix)
    check_replaced("--model-prefix", prefix, [symbol_path(prefix), params_path(prefix, 1)], options.force)
    outputs.check_epochs("--model-prefix", prefix, 1, options.force)
    with temporary_folder() as folder:
        recs = pack_digits.pack(folder)
        save(train(recs["train"], options.num_epochs, options.seed), options.model_prefix)
        return score.main(["-m", options.model_prefix, "--data-val", recs["val"],
                           "--image-shape", ",".join(map(str, pack_digits.IMAGE_SHAPE))])


if __name__ == "__main__":
    sys.exit(main())
