"""launch.py: its options, the command line for MXNet's launcher, a job supervised to its end."""
import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

from accnn.cli import tracked_job
from accnn.cli.main import INTERRUPTED
from accnn.core.errors import AccnnError
from accnn.core.files import regular_file
from accnn.core.progress import say

# The wheel's sge stops with an AttributeError whatever it is given, and its yarn lacks the Java part.
LAUNCHERS = ("local", "ssh", "mpi")
# A machine's own name need not resolve to an address that reaches it, and nobody else is asked on one machine.
_LOOPBACK = {"DMLC_INTERFACE": "lo", "DMLC_NODE_HOST": tracked_job.LOOPBACK}
_PATIENCE = tracked_job.GRACE + 3.0


def parser(description):
    """ArgumentParser: the options; a plain one, as it must leave the program's own as they are."""
    arguments = argparse.ArgumentParser("accnn-launch", description=description, allow_abbrev=False,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-n", "--num-workers", type=int, required=True, metavar="N", help="worker processes")
    arguments.add_argument("-s", "--num-servers", type=int, metavar="N", help="server processes (default: as workers)")
    arguments.add_argument("-H", "--hostfile", metavar="FILE", help="one host a line: for ssh and mpi")
    arguments.add_argument("--launcher", choices=LAUNCHERS, help="(default: ssh with --hostfile, else local)")
    arguments.add_argument("--sync-dst-dir", metavar="FOLDER",
                           help="ssh: copy the working directory into this folder of every host first")
    for role in ("server", "worker"):
        arguments.add_argument("--env-" + role, action="append", default=[], metavar="NAME:VALUE",
                               help="set a variable for every %s, as in OMP_NUM_THREADS:2" % role)
    arguments.add_argument("--env", action="append", default=[], metavar="NAME",
                           help="ssh: pass this variable's value on (local jobs get them all)")
    arguments.add_argument("--p3", action="store_true", help="P3 distributed training")
    arguments.add_argument("command", nargs=argparse.REMAINDER, help="the program and its options; the last argument")
    return arguments


def run(args):
    """int: the exit code of the job.

    Raises
    ------
    AccnnError
        It cannot be started, or a part of it ended badly.
    """
    if args.command[:1] == ["--"]:
        del args.command[0]
    args.launcher = args.launcher or ("ssh" if args.hostfile else "local")
    _check(args)
    environment = dict(os.environ)
    # Were it set, the wheel's launcher would calculate with its text.
    environment.pop("DMLC_NUM_ATTEMPT", None)
    if args.launcher == "local":
        environment = dict(_LOOPBACK, **environment)
    return _supervised([sys.executable, tracked_job.__file__, args.launcher] + _wheel_arguments(args), environment)


def _check(args):
    if args.num_workers < 1:
        raise AccnnError("-n %d: a job needs at least one worker" % args.num_workers)
    if args.num_servers is not None and args.num_servers < 1:
        raise AccnnError("-s %d: MXNet's dist kvstore needs at least one server" % args.num_servers)
    _check_hosts(args)
    _check_variables(args)
    _check_command(args)
    tracked_job.wheel_launcher()


def _check_hosts(args):
    if args.launcher != "local" and not args.hostfile:
        raise AccnnError("--launcher %s needs --hostfile, a file with one host a line" % args.launcher)
    if args.launcher == "local" and args.hostfile:
        raise AccnnError("--hostfile goes with --launcher ssh or mpi, not with local")
    if args.hostfile:
        regular_file(args.hostfile)


def _check_variables(args):
    if args.launcher == "mpi" and args.env + args.env_server + args.env_worker:
        raise AccnnError("--env, --env-server and --env-worker are for the launchers local and ssh: mpirun has its own")
    for setting in args.env_server + args.env_worker:
        if not re.match(r"[A-Za-z_]\w*:", setting):
            raise AccnnError("%r is no NAME:VALUE, as in --env-worker OMP_NUM_THREADS:2" % setting)
    for name in args.env:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise AccnnError("--env %r is no name of a variable" % name)


def _check_command(args):
    if not args.command:
        raise AccnnError("which program is to be started? Name it last, as in accnn-launch -n %d python fine_tune.py "
                         "--kv-store dist_sync" % args.num_workers)
    program = args.command[0]
    # NAME=value before the program, and a whole line for the shell as one word, are the shell's to understand.
    if re.search(r"[\s=;&|()$]", program) or shutil.which(program):
        return
    if not shutil.which(os.path.join(os.curdir, program)):
        raise AccnnError("there is no program %s to start: name one that is on PATH, or an executable file" % program)
    args.command[0] = os.path.join(os.curdir, program)


def _wheel_arguments(args):
    """The command line for the wheel's launcher, the program as one word for the shell.

    As several words its own parser and the tracker's would each take the options that they know, or think they know,
    out of the program's command line, and blanks inside a word would be lost.
    """
    arguments = ["-n", str(args.num_workers), "-s", str(args.num_servers or args.num_workers),
                 "--launcher", args.launcher]
    for option, value in (("-H", args.hostfile), ("--sync-dst-dir", args.sync_dst_dir)):
        arguments += [option, value] if value else []
    return arguments + ["--p3"] * args.p3 + ["--", _shell_line(args)]


def _shell_line(args):
    quote = _escaped if args.launcher == "ssh" else shlex.quote
    # One word that is no program is a line for the shell, as in the original.
    for_shell = len(args.command) == 1 and not shutil.which(args.command[0])
    line = _exports(args, quote) + (args.command[0] if for_shell else " ".join(map(quote, args.command)))
    if args.launcher == "ssh" and re.search("['\n]", line):
        raise AccnnError("over ssh neither the command nor a variable can hold single quotes or line breaks: put them "
                         "into a script on every host")
    return line


def _exports(args, quote):
    """What sets the variables of ``--env...`` in the shell: the wheel takes these options and loses them."""
    passed = [] if args.launcher == "local" else [(name, os.environ[name]) for name in args.env if name in os.environ]
    line = "".join("export %s=%s; " % (name, quote(value)) for name, value in passed)
    for role, settings in (("server", args.env_server), ("worker", args.env_worker)):
        for name, value in (setting.split(":", 1) for setting in settings):
            line += "test $DMLC_ROLE != %s || export %s=%s; " % (role, name, quote(value))
    return line


def _escaped(word):
    """`word` with a backslash before whatever the shell may take for its own.

    For ssh the wheel puts the line between single quotes, and the scheduler gets the same line without them: so it can
    hold none.
    """
    return re.sub(r"([^\w@%+=:,./'\n-])", r"\\\1", word, flags=re.ASCII) or '""'


def _supervised(command, environment):
    """Run the job in a session of its own until it ends; afterwards nothing of it is left on this machine.

    The job ends itself when its stdin closes, which also happens when this process is killed outright.
    """
    job = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)
    try:
        code = job.wait()
    except KeyboardInterrupt:
        say("interrupted: ending the job's processes")
        return INTERRUPTED
    finally:
        _end(job)
    if code < 0:
        raise tracked_job.JobError("the process that watched the job %s, so the job was ended: start it again"
                                   % tracked_job.ending(code))
    return code


def _end(job):
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        job.stdin.close()
        job.wait(_PATIENCE)
    # The whole group: what the workers started themselves, and whatever did not listen.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(job.pid, signal.SIGKILL)
    job.wait()
