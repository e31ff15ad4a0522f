"""Which function converts which operator."""
CONVERTERS = {}
INPUTS_READ = {}


def converts(*operators, inputs=None):
    """Function decorator: the function converts nodes of these operators.

    It takes a :class:`accnn.exporting.layer.Layer` and returns the name of the tensor that holds the node's output, or
    a list of them, None for an output that has no form in ONNX.

    Parameters
    ----------
    *operators : str
        As symbol JSON names them.
    inputs : int, optional
        How many of the node's inputs count at inference: what follows, such as labels, is not exported.
    """
    def register(function):
        for operator in operators:
            CONVERTERS[operator] = function
            if inputs is not None:
                INPUTS_READ[operator] = inputs
        return function
    return register


def inputs_read(node):
    """tuple of entries: what a node reads at inference."""
    return node.inputs[:INPUTS_READ.get(node.op)]
