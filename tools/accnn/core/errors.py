"""The two ways a run can fail without being a bug: bad input (exit 2) and a target not met (exit 1)."""


class AccnnError(ValueError):
    """Bad input, told in one sentence that names the file or layer and the remedy.

    A setting that mends it is named as the argument of the Python function, in backticks, see
    :mod:`accnn.core.settings`. The command line prints the sentence on stderr and exits with :attr:`exit_code`.
    """

    exit_code = 2


class TargetError(AccnnError):
    """The input is fine but the asked speed-up cannot be reached; the sentence says what can."""

    exit_code = 1
