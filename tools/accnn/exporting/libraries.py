"""The packages `onnx` and `onnxruntime`, an optional extra: imported when the first of their attributes is read."""
import importlib
import types

from accnn.core.errors import AccnnError


class _Optional(types.ModuleType):
    """A package of the extra `onnx`, from its first attribute on with all of its own."""

    def __getattr__(self, name):
        if name.startswith("__"):  # asked by tools that look at modules, for which nothing need be there
            raise AttributeError(name)
        return getattr(loaded(self.__name__), name)


def loaded(name):
    """Import a module of the extra.

    Parameters
    ----------
    name : str

    Raises
    ------
    AccnnError
        It is missing, or cannot be loaded; names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AccnnError("%s cannot be imported (%s): pip install '.[onnx]' in the folder with accnn's setup.py"
                         % (name, error)) from error


onnx = _Optional("onnx")
onnxruntime = _Optional("onnxruntime")
