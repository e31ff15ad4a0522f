"""What this process may use of the machine."""
from accnn.core import machine


def test_where_memory_cannot_be_given_back_nothing_happens(monkeypatch):
    def no_library(_):
        raise OSError

    machine.give_back()
    monkeypatch.setattr(machine.ctypes, "CDLL", no_library)
    machine.give_back()
