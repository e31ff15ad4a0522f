"""OpenVINO, on the CPU: float32, bfloat16 where the processor has it, and INT8 by NNCF."""
import contextlib
import io
import logging

from accnn.core import amx
from accnn.core.layers import BF16, FP32, INT8
from accnn.core.libraries import loaded, missing, openvino
from accnn.engines.base import register
from accnn.engines.by_onnx import OnnxEngine, OnnxNetwork, batches_of_examples, refusals
from accnn.engines.made_up_ranges import with_made_up_ranges

_HINTS = {FP32: "f32", BF16: "bf16", INT8: "f32"}  # INT8 networks say themselves where: the rest is float32
_RUNNING = {FP32: {"f32"}, BF16: {"bf16"}, INT8: {"i8", "u8"}}
_LAYERS = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}  # in the graph that runs


@register
class OpenVINO(OnnxEngine):
    """OpenVINO takes bfloat16 for float32 networks where it is not told otherwise: here it always is."""

    name = "openvino"
    summary = "OpenVINO, on the CPU"
    precisions = (FP32, BF16, INT8)
    profiles = True

    def available(self):  # noqa: D102  (as in Engine)
        return missing("onnx", "openvino")

    @property
    def version(self):  # noqa: D102
        return loaded("openvino").__version__.partition("-")[0]

    def isa(self):  # noqa: D102
        return amx.isa(amx.unusable() is None)

    def refuse(self, precision, stored=FP32):  # noqa: D102
        why = super().refuse(precision, stored)
        if why is None and precision == INT8 != stored:
            return missing("nncf")
        if why is None and precision == BF16 and "BF16" not in openvino.Core().get_property(
                "CPU", "OPTIMIZATION_CAPABILITIES"):
            why = "OpenVINO computes bfloat16 with AVX-512 or AMX only, which this processor has not"
        return why

    def _load(self, path, converted, source, threads, precision, calibration, profiled):
        core = openvino.Core()
        with refusals(source, self.name):
            network = core.read_model(path)
            if precision == INT8 and not converted.is_quantized:
                examples = batches_of_examples(calibration, converted, source)
                network = with_made_up_ranges(network, _are_positive(examples)) if profiled else \
                    _quantized(network, examples)
            compiled = core.compile_model(network, "CPU", {
                "INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False,
                "PERF_COUNT": profiled})
        return OpenVINONetwork(compiled, source, converted, precision, _ran(compiled, precision))


class OpenVINONetwork(OnnxNetwork):
    """A network in OpenVINO.

    Parameters
    ----------
    compiled : openvino.CompiledModel
    source : str
        What an error calls the network.
    converted, precision, ran
        As for an OnnxNetwork.
    """

    def __init__(self, compiled, source, *described):
        super().__init__(*described)
        self._compiled, self._source = compiled, source

    def __call__(self, *arrays):  # noqa: D102  (as in Network)
        request = self._request(arrays)
        with refusals(self._source, OpenVINO.name):
            request.infer(share_outputs=True)
        return [request.get_output_tensor(number).data.copy() for number in range(len(self.output_names))]

    def once(self, *arrays):  # noqa: D102
        request = self._request(arrays)

        def run():
            request.infer(share_outputs=True)

        return run

    def between(self, first, last, *arrays):  # noqa: D102
        request = self._request(arrays)

        def run():
            request.infer(share_outputs=True)
            return _seconds_between(first, last, request.get_profiling_info())

        return run

    def _request(self, arrays):
        request = self._compiled.create_infer_request()
        for name, array in self._fed(arrays).items():
            request.set_tensor(name, openvino.Tensor(array))
        return request


def _seconds_between(first, last, profile):
    """float: what ran behind the operators of one layer and before those of another; `profile` is in that order."""
    start = max((place for place, one in enumerate(profile) if _is_of(one, first)), default=-1) + 1
    end = next((place for place, one in enumerate(profile) if _is_of(one, last)), len(profile))
    return sum(one.real_time.total_seconds() for one in profile[start:end])


def _is_of(timed, layer):
    """bool: whether a node that ran, or what begins with it, is of a layer; that of an output has the output's name."""
    return timed.node_name.partition("/")[0] in (layer, layer + "_output")


def _are_positive(examples):
    return all((array >= 0).all() for batch in examples for array in batch.values())


def _quantized(network, examples):
    """openvino.Model: in INT8, with ranges of the examples."""
    nncf = loaded("nncf")
    logger, told = logging.getLogger("nncf"), io.StringIO()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(told):  # it draws progress bars there, where results are printed
            return nncf.quantize(network, nncf.Dataset(examples), subset_size=len(examples))
    finally:
        logger.setLevel(level)


def _ran(compiled, precision):
    """str: what runs in which precision, as the graph says that OpenVINO made of the network."""
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    layers = [info for info in nodes if _said(info, "layerType") in _LAYERS]
    there = sum(_said(info, "runtimePrecision") in _RUNNING[precision] for info in layers)
    amx = ", AMX" if any("amx" in _said(info, "primitiveType") for info in layers) else ""
    return precision + ("" if there == len(layers) == 0 else " in %d of %d layers" % (there, len(layers))) + amx


def _said(info, name):
    """str: what the graph says of a node; older releases wrap it."""
    found = info[name] if name in info else ""
    return str(getattr(found, "value", found))
