"""Settings as options of the running script: what the library calls ``align=16`` is printed as --align 16."""
import contextlib

from accnn.core.progress import print_line, said_to
from accnn.core.settings import errors_spelled
from accnn.core.settings import spelled as respelled

# What the library's arguments and attributes are called where no option of the script has their name.
_OPTIONS = {
    "prefix": "-m", "epoch": "--load-epoch", "input_shapes": "--input-shape", "batch_sizes": "--batch-size",
    "mean": "--rgb-mean", "std": "--rgb-std", "first": "--first-label", "classes": "--num-classes",
    "patterns": "--freeze", "solver": "--reconstruct", "positions": "--calib-positions", "count": "--calib-images",
    "images": "--calib-images", "responses": "--data-calib", "table": "--sensitivity-table",
    "measured": "--measured-ranks", "imported": "--import-latencies", "exported": "--export-latencies",
    "store": "--kv-store", "timeout": "--worker-timeout", "model_prefix": "--save-model"}
# What is another script's, or several options.
_PHRASES = {"accnn.scoring.fidelity": "score.py --fidelity", "augmentation": "options of augmentation",
            "accnn.launch": "python tools/accnn/launch.py -n WORKERS --launcher local python ..."}
_VALUES = {"True": "", "None": "none"}

_spell = [lambda name, value: None]  # of the scripts that run, the innermost last


@contextlib.contextmanager
def options_named(parser):
    """Name the options of a script, as long as the block lasts, in what :func:`spelled` gets, ``say`` and errors.

    Parameters
    ----------
    parser : ArgumentParser
    """
    options = _options(parser)

    def spell(name, value):
        option = _PHRASES.get(name) or options.get(name)
        return option and " ".join(filter(None, (option, _VALUES.get(value, value))))

    _spell.append(spell)
    try:
        with errors_spelled(spell), said_to(lambda sentence: print_line(spelled(sentence))):
            yield
    finally:
        _spell.pop()


def _options(parser):
    """dict: the options of a script by the names that a sentence may have for them."""
    there = parser._option_string_actions  # argparse has no public list of them
    options = {name: option for name, option in _OPTIONS.items() if option in there}
    for option, action in reversed(list(there.items())):
        if option.startswith("--"):
            options.update({action.dest: option, option[2:].replace("-", "_"): option})
    return options


def spelled(said):
    """Return a sentence, or a report of lists and dicts with sentences in it, in terms of the script's options.

    A setting that the script has no option for stays as it is, and so do all where no script runs.
    """
    if isinstance(said, str):
        return respelled(said, _spell[-1])
    if isinstance(said, dict):
        return {key: spelled(value) for key, value in said.items()}
    return [spelled(value) for value in said] if isinstance(said, (list, tuple)) else said
