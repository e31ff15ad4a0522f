"""Short steps that an interrupt must not cut in two."""
import contextlib
import signal
import threading


@contextlib.contextmanager
def interrupts_wait():
    """Let SIGINT and SIGTERM wait until the block is done.

    Handlers are exchanged, since a signal that is blocked in this thread would reach Python through another one.
    """
    waiting, previous = [], {}
    if threading.current_thread() is threading.main_thread():  # only it may; it is also the only one to be interrupted
        previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in previous:
            signal.signal(number, lambda number, frame: waiting.append(number))
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
