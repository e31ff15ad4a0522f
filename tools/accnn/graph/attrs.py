"""Attribute strings of symbol JSON, read as data and never evaluated.

MXNet and its ancestors write ``(3, 3)``, ``(3,3)``, ``(3L, 3L)``, ``[3,3]``, ``3``, ``True``, ``true`` and ``1``.
"""
import ast
import re

from accnn.core.errors import AccnnError

_LONG = re.compile(r"(?<=\d)L\b")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def shape(node, key, default):
    """Tuple of ints under `key` of ``node.attrs``; `default` when absent or empty."""
    text = node.attrs.get(key)
    if text is None:
        return default
    value = _literal(node, key, text)
    value = (value,) if isinstance(value, int) else tuple(value) if isinstance(value, (tuple, list)) else None
    if value is None or not all(type(item) is int and item >= 0 for item in value):
        raise _unreadable(node, key, text)
    return value or default


def signed(node, key, default=()):
    """Tuple under `key` of ``node.attrs`` of ints that may be negative, or None; a number counts as one of them."""
    text = node.attrs.get(key)
    if text is None:
        return default
    value = _literal(node, key, text)
    value = (value,) if value is None or type(value) is int else value
    if not isinstance(value, (tuple, list)) or not all(item is None or type(item) is int for item in value):
        raise _unreadable(node, key, text)
    return tuple(value)


def integer(node, key, default=None):
    """Int under `key` of ``node.attrs``."""
    text = node.attrs.get(key)
    if text is None:
        return default
    value = _literal(node, key, text)
    if type(value) is not int:
        raise _unreadable(node, key, text)
    return value


def number(node, key, default):
    """Float under `key` of ``node.attrs``."""
    text = node.attrs.get(key)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise AccnnError("%r has the attribute %s=%s, which is no number: mend it in the symbol JSON"
                         % (node.name, key, text[:60])) from None


def boolean(node, key, default=False):
    """Bool under `key` of ``node.attrs``."""
    text = node.attrs.get(key)
    if text is None:
        return default
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise _unreadable(node, key, text) from None


def layout(node):
    """Layout a convolution writes down, '' when it writes none."""
    text = node.attrs.get("layout", "")
    return "" if text == "None" else text


def _literal(node, key, text):
    try:
        return ast.literal_eval(_LONG.sub("", text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise _unreadable(node, key, text) from None


def _unreadable(node, key, text):
    return AccnnError("layer %r has the attribute %s=%s, which is no number or shape: mend it in the symbol JSON"
                      % (node.name, key, text[:60]))
