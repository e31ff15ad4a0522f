"""The command of two_pass.py changed, and what it wrote."""
import os

COLOURS = ["--rgb-mean", "128", "--rgb-std", "64"]


def without(command, *names):
    """The command without options that have a value."""
    command = list(command)
    for name in names:
        place = command.index(name)
        del command[place:place + 2]
    return command


def snapshot(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder)) if (folder / name).is_file()}


def result(folder, name="out"):
    """Bytes of the network that a run wrote, which are all it left beside its state."""
    found = snapshot(folder)
    assert {key for key in found if key.startswith(name + "-")} == {
        name + end for end in ("-symbol.json", "-0001.params", "-two-pass.json")}
    return found[name + "-symbol.json"], found[name + "-0001.params"]
