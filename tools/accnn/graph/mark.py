"""The mark of a checkpoint that a script wrote and can write again, so that it may be replaced without asking.

It stands among the graph's own attributes, beside ``mxnet_version``: MXNet reads such a symbol as any other, and drops
the mark when it saves the network again, which then is somebody else's. The mark holds sums of the symbol and of the
parameters, so parameters that were saved over ours are noticed as well.
"""
import os
import re
import zlib

from accnn.core.versions import VERSION

_BLOCK = 1 << 20
_END = re.compile(r'("attrs": \{"mxnet_version": \["int", \d+\])(?:, "accnn": \["str", "([^"]*)"\])?(\}\s*\}\s*)\Z')


def marked(text, params_file):
    """Return symbol JSON, as MXNet writes it, with the mark; unchanged where it ends in another way.

    Parameters
    ----------
    text : str
    params_file : str
        Path of the parameters that belong to it.
    """
    return _END.sub(lambda end: '%s, "accnn": ["str", "%s"]%s' % (end[1], _mark(text, params_file), end[3]), text)


def is_marked(symbol_file, params_file):
    """bool: whether two files bear a mark and nobody changed them since.

    Parameters
    ----------
    symbol_file, params_file : str
        Paths. A symbol that cannot be read bears no mark; where the parameters are gone, it alone is looked at.
    """
    try:
        with open(symbol_file, encoding="utf-8") as handle:
            text = handle.read()
        end = _END.search(text)
        plain = end and text[:end.start()] + end[1] + end[3]
        # Another version may have made other bytes, and is told apart by the sums alone.
        compared = slice(1, None if os.path.lexists(params_file) else 3)
        return bool(end and end[2]) and end[2].split()[compared] == _mark(plain, params_file).split()[compared]
    except (OSError, UnicodeDecodeError):
        return False


def _mark(text, params_file):
    params = 0
    if os.path.lexists(params_file):
        with open(params_file, "rb") as handle:
            for block in iter(lambda: handle.read(_BLOCK), b""):
                params = zlib.crc32(block, params)
    return "%s symbol %08x params %08x" % (VERSION, zlib.crc32(text.encode("utf-8")), params)
