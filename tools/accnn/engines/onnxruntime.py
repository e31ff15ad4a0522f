"""onnxruntime, on the CPU: float32, and INT8 by its own static quantization."""
import contextlib
import logging

from accnn.core import amx
from accnn.core.layers import FP32, INT8
from accnn.core.libraries import loaded, missing, onnx
from accnn.engines.base import register
from accnn.engines.by_onnx import OnnxEngine, OnnxNetwork, batches_of_examples
from accnn.exporting.session import Session

# Operators of the graph that runs: layers in INT8, and those left in float32.
_INT8 = {"QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger"}
_FLOAT = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}


@register
class OnnxRuntime(OnnxEngine):
    """onnxruntime computes float32 in float32, whatever the processor has."""

    name = "onnxruntime"
    summary = "onnxruntime, on the CPU"
    precisions = (FP32, INT8)

    def available(self):  # noqa: D102  (as in Engine)
        return missing("onnx", "onnxruntime")

    @property
    def version(self):  # noqa: D102
        return loaded("onnxruntime").__version__

    def _load(self, path, converted, source, threads, precision, calibration, profiled):
        if precision == FP32:
            return OnnxRuntimeNetwork(Session(path, source, threads, ""), converted, precision, precision)
        fused = path + ".fused"
        made = path if converted.is_quantized else _quantized(path, converted, source, calibration)
        session = Session(made, source, threads, "", fused)
        return OnnxRuntimeNetwork(session, converted, precision, _ran(fused))


class OnnxRuntimeNetwork(OnnxNetwork):
    """A network in onnxruntime.

    Parameters
    ----------
    session : Session
    converted, precision, ran
        As for an OnnxNetwork.
    """

    def __init__(self, session, *described):
        super().__init__(*described)
        self._session = session

    def __call__(self, *arrays):  # noqa: D102  (as in Network)
        return self._session.run(self._fed(arrays))

    def once(self, *arrays):  # noqa: D102
        fed = self._fed(arrays)

        def run():
            self._session.run(fed)

        return run


def _quantized(path, converted, source, calibration):
    """str: path of a file beside `path` with INT8 tensors, weights a channel at a time (QDQ)."""
    examples = iter(batches_of_examples(calibration, converted, source))
    quantization = loaded("onnxruntime.quantization")
    prepared, made = path + ".prepared", path + ".int8"
    with _quiet():
        # BatchNorm goes into the weights before they are rounded. Shapes are known, so nothing symbolic is to be found.
        loaded("onnxruntime.quantization.shape_inference").quant_pre_process(path, prepared, skip_symbolic_shape=True)
        _read_outputs_twice(prepared)
        quantization.quantize_static(
            prepared, made, _Reader(examples), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            # Signed activations, its default, leave half the layers of a residual network in float32.
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            reduce_range=_saturates(), extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
            # Its probabilities in INT8 are multiples of 1/256: of a thousand classes all may be 0.
            nodes_to_exclude=[record.name for record in converted.builder.nodes if record.op == "Softmax"])
    return made


def _read_outputs_twice(path):
    """Put an Identity in front of every output of an ONNX file that a ReLU or Clip reads.

    The quantizer takes such a tensor for one that nothing else reads, and cuts its negative numbers off.
    """
    model = onnx.load(path)
    nodes, outputs = model.graph.node, {output.name for output in model.graph.output}
    cutting = [node for node in nodes if node.op_type in ("Relu", "Clip") and node.input[0] in outputs]
    inside = {node.input[0]: node.input[0] + "//inside" for node in cutting}
    for node in cutting:
        node.input[0] = inside[node.input[0]]
    for place, node in reversed(list(enumerate(nodes))):
        for position, name in enumerate(node.output):
            if name in inside:
                node.output[position] = inside[name]
                nodes.insert(place + 1, onnx.helper.make_node("Identity", [inside[name]], [name]))
    if inside:
        onnx.save(model, path)


def _saturates():
    """bool: whether the processor's sums of two INT8 products saturate, so that weights have 7 bits at most."""
    flags = amx.cpu_flags()
    return "avx2" in flags and not flags.intersection({"avx512_vnni", "avx_vnni"})


@contextlib.contextmanager
def _quiet():
    """Keep back advice that onnxruntime's quantization logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Reader:
    """What onnxruntime asks for one batch after the other."""

    def __init__(self, examples):
        self._examples = examples

    def get_next(self):
        """dict of str to ndarray, or None behind the last."""
        return next(self._examples, None)


def _ran(path):
    """str: in how many layers of the graph that runs INT8 is computed."""
    found = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    there, others = (sum(op in kinds for op in found) for kinds in (_INT8, _FLOAT))
    return "int8 in %d of %d layers" % (there, there + others)
