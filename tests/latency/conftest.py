"""What the tests of latencies share: a machine made of arithmetic."""
import pytest

from accnn.latency import in_network
from clockwork import Clockwork, as_alone


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(in_network, "factors", as_alone)  # see test_in_network.py
    return Clockwork().patched(monkeypatch)
