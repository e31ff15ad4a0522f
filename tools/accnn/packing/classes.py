"""Names of classes: read from a text file, turned into labels."""
from accnn.errors import AccnnError
from accnn.files import open_input


def numbered(words, classes, kind):
    """Turn names of classes into labels.

    Parameters
    ----------
    words : list of str
        The class of every image.
    classes : list of str or None
        Names in the order of their labels; more may follow a name, as in synset.txt. None sorts those of `words`.
    kind : str
        What an error calls a word.

    Returns
    -------
    labels : list of int
    classes : list of str

    Raises
    ------
    AccnnError
        `classes` lacks a name, or has one twice.
    """
    found = set(words)
    if classes is None:
        classes = sorted(found)
    elif not found <= set(classes):
        # synset.txt says what a class shows after its name.
        classes = [(line.split() or [""])[0] for line in classes]
    labels = {name: label for label, name in enumerate(classes)}
    if len(labels) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise AccnnError("--classes names a class twice: %s" % twice)
    unknown = sorted(found - set(labels))
    if unknown:
        raise AccnnError("the %s %s is not among the %d names of --classes" % (kind, unknown[0], len(classes)))
    return [labels[word] for word in words], classes


def read_lines(path):
    """Return the lines of a text file, without blanks at their ends and empty lines at its end; refuse an empty one."""
    try:
        with open_input(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file.read().rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise AccnnError("%s is no text file in UTF-8: %s" % (path, error.reason)) from error
    if not lines:
        raise AccnnError("%s is empty" % path)
    return lines
