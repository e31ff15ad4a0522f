"""How numbers and names are put into sentences."""


def some(names, most=8):
    """The first names as a list for a sentence."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
