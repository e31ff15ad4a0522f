"""Turn a parameter file of the Gluon model store into a symbol and its parameters."""
from accnn.core.compat import mx
from accnn.core.errors import AccnnError

IMAGE_SHAPE = (3, 224, 224)
# The one family that was made for larger images.
IMAGE_SHAPES = {"inceptionv3": (3, 299, 299)}


def image_shape(name):
    """Return the (channels, height, width) the Gluon network `name` was trained on."""
    return IMAGE_SHAPES.get(name, IMAGE_SHAPE)


def network(name, parameters):
    """Build the Gluon network `name` and load the file `parameters` into it.

    Returns
    -------
    symbol : mx.sym.Symbol
        Over 'data', ending in the scores of the classes: Gluon keeps softmax out of the network.
    arg_params, aux_params : dict of str to NDArray
    """
    # Gluon numbers its networks per process; a counter of its own makes the names repeatable.
    with mx.name.NameManager():
        net = mx.gluon.model_zoo.vision.get_model(name)
        _load(net, name, parameters)
        symbol = net(mx.sym.var("data"))
    values = {key: value.data() for key, value in net.collect_params().items()}
    return symbol, _those(values, symbol.list_arguments()), _those(values, symbol.list_auxiliary_states())


def _load(net, name, parameters):
    try:
        net.load_parameters(parameters)
    except (AssertionError, KeyError, ValueError, mx.base.MXNetError) as error:
        raise AccnnError("%s does not hold the parameters of Gluon's %s (%s): remove it to fetch it again"
                         % (parameters, name, str(error).strip().splitlines()[0])) from error


def _those(values, wanted):
    return {key: values[key] for key in wanted if key in values}
