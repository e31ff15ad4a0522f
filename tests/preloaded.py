"""What the process has imported that :class:`processes.Forked` copies: MXNet, also where it is imported late."""
from accnn.core.compat import mx

VERSION = mx.__version__
