"""onnxruntime, on the CPU: float32."""
from accnn.core.layers import FP32
from accnn.core.libraries import loaded, missing
from accnn.core.threads import threads_wanted
from accnn.engines.base import register
from accnn.engines.by_onnx import OnnxEngine, OnnxNetwork
from accnn.exporting.session import Session


@register
class OnnxRuntime(OnnxEngine):
    """onnxruntime computes float32 in float32, whatever the processor has."""

    name = "onnxruntime"
    summary = "onnxruntime, on the CPU"
    precisions = (FP32,)

    def available(self):  # noqa: D102  (as in Engine)
        return missing("onnx", "onnxruntime")

    @property
    def version(self):  # noqa: D102
        return loaded("onnxruntime").__version__

    def _load(self, path, converted, source, threads, precision):
        session = Session(path, source, threads or threads_wanted(), consequence="")
        return OnnxRuntimeNetwork(session, converted, precision, precision)


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
