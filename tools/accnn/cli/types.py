"""What argparse makes of the words on a command line."""


def rank(text):
    """Read a rank: an int, or a tuple of them where a method has several, as in '16,32'."""
    ranks = tuple(int(number) for number in text.split(","))
    return ranks[0] if len(ranks) == 1 else ranks


def positive(text):
    """What argparse makes of a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number
