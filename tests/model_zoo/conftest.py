"""Paths and fixtures: a tiny network in the store's table, and a store on loopback that serves it."""
import hashlib
import io
import os
import sys
import zipfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(sys.path[0], "tools"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from loopback_store import LoopbackStore

from accnn.core.compat import mx

TINY = "mobilenet0.25"


class Tiny:
    """The smallest network of the store with random weights, in the store's format."""

    def __init__(self, folder):
        path = os.path.join(folder, "tiny.params")
        mx.random.seed(1)
        self.name = TINY
        self.net = mx.gluon.model_zoo.vision.get_model(TINY)
        self.net.initialize(mx.init.Xavier())
        self.net(mx.nd.zeros((1, 3, 224, 224)))
        self.net.save_parameters(path)
        with open(path, "rb") as handle:
            self.params = handle.read()
        self.sha1 = hashlib.sha1(self.params).hexdigest()
        self.stem = "%s-%s" % (TINY, self.sha1[:8])
        self.url_path = "/gluon/models/%s.zip" % self.stem
        self.zip = self.packed({self.stem + ".params": self.params})

    @staticmethod
    def packed(members):
        """Return the bytes of a zip file with the `members`, name -> content."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    return Tiny(str(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def tiny(tiny_files, monkeypatch):
    """The tiny network, entered in the store's table of sums."""
    monkeypatch.setitem(mx.gluon.model_zoo.model_store._model_sha1, TINY, tiny_files.sha1)
    return tiny_files


@pytest.fixture
def server(tiny):
    """A store on loopback that serves the tiny network."""
    with LoopbackStore({tiny.url_path: tiny.zip}) as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    """The folder the store keeps its files in, not made yet."""
    return tmp_path / "home" / "models"


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
