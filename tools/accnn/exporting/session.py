"""A file in onnxruntime."""
from accnn.core.errors import AccnnError
from accnn.core.libraries import onnxruntime
from accnn.core.machine import cores


class Session:
    """A file loaded in onnxruntime.

    Parameters
    ----------
    path : str
    source : str
        What an error calls the network.
    threads : int, optional
        Default: one for every core.
    consequence : str
        What follows from a refusal, up to its reason.
    fused : str, optional
        Path of a file to be written: the graph that runs.

    Raises
    ------
    AccnnError
        onnxruntime does not load it; says why.
    """

    def __init__(self, path, source, threads=None, consequence="nothing is written, since ",
                 fused=None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or cores(), 1
        options.log_severity_level = 4
        if fused is not None:
            options.optimized_model_filepath = fused
        options.add_session_config_entry("session.force_spinning_stop", "1")  # other engines want the cores next
        self._source, self._consequence = source, consequence
        self._run = self._told("load", lambda: onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"])).run

    def run(self, trial, names=None):
        """list of ndarray: the outputs, all or those of `names`."""
        return self._told("run", lambda: self._run(names, trial))

    def _told(self, what, step):
        try:
            return step()
        except Exception as error:  # onnxruntime's errors have no common class but this
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise AccnnError("%s: %sonnxruntime does not %s what was made of it (%s)"
                             % (self._source, self._consequence, what, str(error).splitlines()[0])) from error
