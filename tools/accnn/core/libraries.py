"""Packages of optional extras: imported when the first of their attributes is read."""
import importlib
import os
import types

from accnn.core.errors import AccnnError

# Library -> extra; Pillow comes with matplotlib.
_EXTRAS = {"onnx": "onnx", "onnxruntime": "onnx", "openvino": "openvino", "nncf": "openvino", "matplotlib": "report",
           "jinja2": "report", "PIL": "report"}

# NNCF would tell its makers what it is used for, if it were not said to run in a test.
_SETTINGS = {"nncf": {"NNCF_CI": "1"}}


class _Optional(types.ModuleType):
    """A package of an extra, from its first attribute on with all of its own."""

    def __getattr__(self, name):
        if name.startswith("__"):  # asked by tools that look at modules, for which nothing need be there
            raise AttributeError(name)
        return getattr(loaded(self.__name__), name)


def loaded(name):
    """Import a module of an extra.

    Parameters
    ----------
    name : str

    Raises
    ------
    AccnnError
        It is missing, or cannot be loaded; names the extra.
    """
    for setting, value in _SETTINGS.get(name, {}).items():
        os.environ.setdefault(setting, value)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AccnnError("%s cannot be imported (%s): pip install '.[%s]' in the folder with accnn's setup.py"
                         % (name, error, _EXTRAS[name.partition(".")[0]])) from error


def missing(*names):
    """str or None: the sentence of :func:`loaded` about the first of several modules that cannot be imported."""
    for name in names:
        try:
            loaded(name)
        except AccnnError as error:
            return str(error)
    return None


onnx = _Optional("onnx")
onnxruntime = _Optional("onnxruntime")
openvino = _Optional("openvino")
