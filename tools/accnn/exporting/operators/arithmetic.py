"""Functions of one number, of two, and of a number and a constant."""
import numpy as np

from accnn.exporting.registry import converts

_UNARY = {"abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "negative": "Neg", "reciprocal": "Reciprocal",
          "sin": "Sin", "cos": "Cos", "tan": "Tan", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan",
          "sinh": "Sinh", "cosh": "Cosh", "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "erf": "Erf",
          "floor": "Floor", "ceil": "Ceil", "sign": "Sign"}
_FACTORS = {"log2": ("Log", 1 / np.log(2)), "log10": ("Log", 1 / np.log(10)), "degrees": (None, 180 / np.pi),
            "radians": (None, np.pi / 180)}
_POWERS = {"rsqrt": -0.5, "cbrt": 1 / 3, "rcbrt": -1 / 3}


@converts(*_UNARY)
def unary(layer):
    """The ONNX operator of that name."""
    return layer.add(_UNARY[layer.node.op], layer.x)


@converts(*_FACTORS)
def scaled(layer):
    """A function times a constant."""
    function, factor = _FACTORS[layer.node.op]
    return layer.add("Mul", layer.add(function, layer.x) if function else layer.x, layer.scalar(factor))


@converts(*_POWERS)
def roots(layer):
    """A power of the absolute value, with the sign of a cube root's argument."""
    if layer.node.op == "rsqrt":
        return layer.add("Reciprocal", layer.add("Sqrt", layer.x))
    found = layer.add("Pow", layer.add("Abs", layer.x), layer.scalar(_POWERS[layer.node.op]))
    return layer.add("Mul", found, layer.add("Sign", layer.x))


@converts("square", "log1p", "expm1", "logical_not")
def composed(layer):
    """x^2, log(1 + x), exp(x) - 1, whether x is 0."""
    kind, x = layer.node.op, layer.x
    if kind == "square":
        return layer.add("Mul", x, x)
    if kind == "log1p":
        return layer.add("Log", layer.add("Add", x, layer.scalar(1)))
    if kind == "expm1":
        return layer.add("Sub", layer.add("Exp", x), layer.scalar(1))
    return layer.cast(layer.add("Equal", x, layer.scalar(0)), layer.dtype)


@converts("rint", "round", "fix", "trunc")
def rounded(layer):
    """`rint` gives the lower of two that are as near, `round` the one farther from 0, the others that towards 0."""
    kind, x = layer.node.op, layer.x
    if kind == "rint":
        return layer.add("Ceil", layer.add("Sub", x, layer.scalar(0.5)))
    size = layer.add("Abs", x)
    size = layer.add("Add", size, layer.scalar(0.5)) if kind == "round" else size
    return layer.add("Mul", layer.add("Sign", x), layer.add("Floor", size))


@converts("clip")
def clip(layer):
    """``Clip``."""
    return layer.add("Clip", layer.x, layer.scalar(layer.number("a_min")), layer.scalar(layer.number("a_max")))


@converts("smooth_l1")
def smooth_l1(layer):
    """(s x)^2 / 2 within 1 / s^2, |x| - 1 / (2 s^2) beyond, where s is `scalar`."""
    squared = layer.number("scalar", 1.0) ** 2
    size = layer.add("Abs", layer.x)
    inner = layer.add("Mul", layer.add("Mul", layer.x, layer.x), layer.scalar(squared / 2))
    return layer.add("Where", layer.add("Less", size, layer.scalar(1 / squared)), inner,
                     layer.add("Sub", size, layer.scalar(0.5 / squared)))


# ---- two numbers: functions of the layer and of two tensors

def _plain(op):
    return lambda layer, a, b: layer.add(op, a, b)


def _compared(op, negated=False):
    def function(layer, a, b):
        found = layer.add(op, a, b)
        return layer.cast(layer.add("Not", found) if negated else found, layer.dtype)
    return function


def _logical(op):
    def function(layer, a, b):
        truth = [layer.cast(one, "bool") if not isinstance(one, np.ndarray) else one.astype(bool) for one in (a, b)]
        return layer.cast(layer.add(op, *truth), layer.dtype)
    return function


def _mod(layer, a, b):
    """a - b floor(a / b), which has the sign of b."""
    return layer.add("Sub", a, layer.add("Mul", b, layer.add("Floor", layer.add("Div", a, b))))


def _hypot(layer, a, b):
    return layer.add("Sqrt", layer.add("Add", layer.add("Mul", a, a), layer.add("Mul", b, b)))


_BINARY = {"add": _plain("Add"), "sub": _plain("Sub"), "mul": _plain("Mul"), "div": _plain("Div"), "mod": _mod,
           "power": _plain("Pow"), "maximum": _plain("Max"), "minimum": _plain("Min"), "hypot": _hypot,
           "equal": _compared("Equal"), "not_equal": _compared("Equal", True), "greater": _compared("Greater"),
           "greater_equal": _compared("GreaterOrEqual"), "lesser": _compared("Less"),
           "lesser_equal": _compared("LessOrEqual"), "logical_and": _logical("And"), "logical_or": _logical("Or"),
           "logical_xor": _logical("Xor")}
_OTHER_NAMES = {"plus": "add", "minus": "sub", "grad_add": "add"}


def _operands(op):
    """(name in `_BINARY`, whether there is a constant, whether it comes first) of an operator."""
    bare = op.replace("broadcast_", "").replace("elemwise_", "").strip("_")
    scalar = bare.endswith("_scalar")
    bare = bare[:-len("_scalar")] if scalar else bare
    turned = scalar and bare in ("rminus", "rdiv", "rmod", "rpower")
    bare = bare[1:] if turned else bare
    return _OTHER_NAMES.get(bare, bare), scalar, turned


_ELEMENTWISE = ["elemwise_%s" % name for name in ("add", "sub", "mul", "div")] + ["_grad_add"] + [
    "_%s" % name for name in list(_BINARY)[4:]]
_BROADCAST = ["broadcast_%s" % name for name in _BINARY]
_SCALAR = ["_%s_scalar" % name for name in ("plus", "minus", "rminus", "rdiv", "rmod", "rpower", *list(_BINARY)[2:])]


@converts(*_ELEMENTWISE, *_BROADCAST, *_SCALAR)
def binary(layer):
    """A function of two arrays, or of one and the constant `scalar`."""
    name, scalar, turned = _operands(layer.node.op)
    pair = [layer.x, layer.scalar(layer.number("scalar", 0.0)) if scalar else layer.inputs[1]]
    return _BINARY[name](layer, *(pair[::-1] if turned else pair))


@converts("add_n")
def add_n(layer):
    """``Sum``."""
    return layer.add("Sum", *layer.inputs)
