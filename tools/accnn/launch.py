"""Start a distributed job with MXNet's own launcher, and end all of it when one part of it ends badly.

    python launch.py -n 2 --launcher local python fine_tune.py -m new-vgg16 --kv-store dist_sync ...
    python launch.py -n 4 -s 2 -H hosts.txt python fine_tune.py -m new-vgg16 --kv-store dist_sync ...

The options are those of ``python -m mxnet.tools.launch``. That one dies on Python 3.9 and later, and waits for ever
when a worker has died. Exit codes: 0 when every worker, server and the scheduler ended well, 1 when one did not, 2 for
a job that cannot be started, 130 when interrupted.

A worker that raises an exception does not end while it has a dist kvstore: MXNet lets it wait for the others first.
"""
if not __package__:
    import _inplace  # noqa: F401

import sys

from accnn.cli.main import Script

script = Script("accnn.cli.launch", __doc__)
main, parser = script.main, script.parser

if __name__ == "__main__":
    sys.exit(main())
