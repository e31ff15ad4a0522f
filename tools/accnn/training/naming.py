"""Names of files to be written, looked at before any work."""
import os

from accnn.errors import AccnnError
from accnn.files import check_writable


def check_names(option, prefix, paths, longest):
    """Refuse names that no file can have here.

    Parameters
    ----------
    option, prefix : str
        What the person said.
    paths : list of str
        Files to be written, as far as they are there.
    longest : str
        The path with the longest name of all that will be written.

    Raises
    ------
    AccnnError
    """
    for path in paths:
        if os.path.isdir(path):
            raise AccnnError("%s %s: %s is a folder, choose another prefix" % (option, prefix, path))
    try:
        prefix.encode("utf-8")
        check_writable(longest)
    except UnicodeEncodeError as error:
        raise AccnnError("%s %r is no UTF-8 name, which MXNet needs" % (option, prefix)) from error
    except OSError as error:
        raise AccnnError("%s %s cannot be written: %s" % (option, prefix, error.strerror)) from error
