"""Child processes that can be interrupted wherever the tests run."""
import signal


def interruptible():
    """For ``preexec_fn``: a shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
