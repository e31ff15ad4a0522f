"""Child processes that can be interrupted wherever the tests run."""
import signal
import subprocess


def interruptible():
    """For ``preexec_fn``: a shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop(child, number, attempts=20):
    """Send a signal until `child` is gone: Python loses a KeyboardInterrupt that falls into an object's __del__."""
    for _ in range(attempts):
        child.send_signal(number)
        try:
            return child.wait(2)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    raise AssertionError("signal %d did not end the process" % number)
