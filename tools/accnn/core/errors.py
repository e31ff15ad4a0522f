"""The two ways a run can fail without being a bug: bad input (exit 2) and a target not met (exit 1)."""
import contextlib
import re


@contextlib.contextmanager
def said_of(option, epoch_option):
    """Let what an error of the block says of ``-m`` and ``--load-epoch`` name the options of another checkpoint."""
    try:
        yield
    except AccnnError as error:
        sentence = re.sub(r"(?<!\S)-m(?= )", option, str(error))
        raise type(error)(re.sub(r"(?<!\S)--load-epoch\b", epoch_option, sentence)) from error


class AccnnError(ValueError):
    """Bad input, told in one sentence that names the file or layer and the remedy.

    The command line prints the sentence on stderr and exits with :attr:`exit_code`.
    """

    exit_code = 2


class TargetError(AccnnError):
    """The input is fine but the asked speed-up cannot be reached; the sentence says what can."""

    exit_code = 1
