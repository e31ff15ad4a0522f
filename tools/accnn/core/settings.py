"""How a sentence names a setting: in backticks, as a Python name, with a value or without: ``align`` or ``align=16``.

So the library says which argument is meant without a word about the command line, where ``accnn.cli.setting_names``
spells it as an option.
"""
import contextlib
import re

from accnn.core.errors import AccnnError

_NAMED = re.compile(r"`([A-Za-z_][\w.]*)(?:=([^`]*))?`")


def spelled(sentence, spell):
    """Return a sentence with the settings that it names spelled in another way.

    Parameters
    ----------
    sentence : str
    spell : callable
        ``spell(name, value)`` returns what takes the place of a setting, backticks included, or None where it is to
        stay; `value` is None where the sentence gives none, else the text behind the ``=``, without its quotes.

    Returns
    -------
    str
    """
    def one(found):
        text = spell(found.group(1), _unquoted(found.group(2)))
        return found.group() if text is None else text

    return _NAMED.sub(one, sentence)


def _unquoted(value):
    return value[1:-1] if value and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


@contextlib.contextmanager
def renamed(**names):
    """Let errors of the block name settings as the caller does, as in ``renamed(prefix="baseline")``."""
    def spell(name, value):
        return name in names and "`%s`" % (names[name] + ("" if value is None else "=" + value)) or None

    with errors_spelled(spell):
        yield


@contextlib.contextmanager
def errors_spelled(spell):
    """Spell the settings that an error of the block names, see :func:`spelled`."""
    try:
        yield
    except AccnnError as error:
        error.args = (spelled(str(error), spell),) + error.args[1:]
        raise
