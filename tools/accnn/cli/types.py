"""What argparse makes of the words on a command line."""
import argparse
import re
import sys

_NEGATIVE = re.compile(r"-\.?\d[-+.,\de]*$")


class Parser(argparse.ArgumentParser):
    """Shows its description as it stands, and reads values such as -5,1,1, which argparse takes for options."""

    def __init__(self, name, description, **more):
        super().__init__(name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **more)

    def parse_args(self, args=None, namespace=None):  # noqa: D102  (as in ArgumentParser)
        words = list(sys.argv[1:] if args is None else args)
        for place in range(len(words) - 1, 0, -1):
            if _NEGATIVE.match(words[place]) and words[place - 1].startswith("--") and "=" not in words[place - 1]:
                words[place - 1:place + 1] = ["=".join(words[place - 1:place + 1])]
        return super().parse_args(words, namespace)


class OpeningParser(Parser):
    """Shows its description before anything else."""

    def format_help(self):  # noqa: D102  (as in ArgumentParser)
        opening, self.description = self.description, None
        try:
            return "%s\n\n%s" % (opening.rstrip(), super().format_help())
        finally:
            self.description = opening


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


def summaries(registry):
    """str: names of what is registered and what each is, for ``--help``."""
    return "; ".join("%s = %s" % (name, registry.get(name).summary) for name in registry.names())
