"""Finding methods, rank rules and costs by the names that people type."""
from accnn.core.errors import AccnnError


class Registry:
    """Objects by name, in the order in which they were registered.

    Parameters
    ----------
    kind : str
        What an error calls them: ``'method'``.
    """

    def __init__(self, kind):
        self._kind, self._members = kind, {}

    def register(self, cls):
        """Class decorator: make an instance of `cls` known under ``cls.name``."""
        self._members[cls.name] = cls()
        return cls

    def names(self):
        """list of str: what :meth:`get` takes."""
        return list(self._members)

    def get(self, name):
        """Return the object called `name`.

        Raises
        ------
        AccnnError
            There is none; the sentence lists those there are.
        """
        if not isinstance(name, str) or name not in self._members:
            raise AccnnError("there is no %s %r: choose from %s" % (self._kind, name, ", ".join(self._members)))
        return self._members[name]
