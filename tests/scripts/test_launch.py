"""Distributed jobs on this machine: they work, they end when a part of them ends badly, and nothing of them is left."""
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import pytest

from accnn import launch
from accnn.cli import tracked_job

SCRIPT = launch.__file__
PATIENCE = 120  # seconds, on a busy machine

TRAINING = """
import os, sys
sys.path.insert(0, TOOLS)
from accnn.core.compat import import_mxnet
mx = import_mxnet()
kv = mx.kv.create("dist_sync")
kv.init(3, mx.nd.zeros(2))
kv.push(3, mx.nd.ones(2) * (kv.rank + 1))
out = mx.nd.zeros(2)
kv.pull(3, out=out)
# One write for the whole line: the other worker's shall not fall into it.
os.write(1, ("rank %d of %d: %g %s %r\\n" % (kv.rank, kv.num_workers, out.sum().asscalar(), os.environ.get("TOLD"),
                                           sys.argv[1:])).encode())
""".replace("TOOLS", repr(os.path.dirname(os.path.dirname(os.path.abspath(launch.__file__)))))

# Stands in for MXNet: says who it is, then does what its role is told to do, or waits.
PART = """
import os, subprocess, sys, time
role, number = os.environ["DMLC_ROLE"], os.environ.get("DMLC_TASK_ID", "0")
for orders in sys.argv[1:]:
    who, _, deed = orders.partition("=")
    if who == role or who == role + number:
        exec(deed)
if "done" not in sys.argv:
    time.sleep(600)
"""


def parts_left(marker):
    """Command lines of processes that carry `marker` in their environment."""
    left = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % number, "rb") as environ, open("/proc/%s/cmdline" % number, "rb") as line:
                if marker.encode() in environ.read():
                    left.append((int(number), line.read().replace(b"\0", b" ").decode()))
        except OSError:  # ended meanwhile, or another user's
            continue
    return left


def wait_for(condition, seconds=60):
    """What `condition` returns once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited for %d seconds in vain" % seconds)


class Launched:
    """A running launcher."""

    def __init__(self, arguments, environment):
        self.marker = "accnn-launch-test-%s" % uuid.uuid4()
        self.process = subprocess.Popen([sys.executable, SCRIPT] + arguments, start_new_session=True, text=True,
                                        env=dict(environment, ACCNN_TEST_MARKER=self.marker),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def left(self):
        return parts_left(self.marker)

    def ended(self):
        """Wait for the end; return code, stdout, stderr; nothing may be left."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.left() == []
        assert "Traceback" not in err
        return self.process.returncode, out, err

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        for number, _ in self.left():
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def start(bare_environment):
    """Start a launcher; whatever happens, it is gone after the test."""
    jobs = []
    environment = {key: value for key, value in bare_environment.items() if not key.startswith("DMLC_")}

    def run(*arguments, **variables):
        jobs.append(Launched(list(arguments), dict(environment, **variables)))
        return jobs[-1]
    yield run
    for job in jobs:
        job.kill()


@pytest.fixture
def part(tmp_path):
    """Command line of PART."""
    path = tmp_path / "part with blanks.py"
    path.write_text(PART)
    return [sys.executable, str(path)]


def sentence(err):
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]


def test_two_jobs_at_once_train_on_one_machine(start, tmp_path):
    (tmp_path / "train.py").write_text(TRAINING)
    command = [sys.executable, str(tmp_path / "train.py"), "a b", "it's $HOME", "", "-n", "--env"]
    jobs = [start("-n", "2", "-s", "1", "--launcher", "local", "--env-worker", "TOLD:x y", *command, name)
            for name in ("first", "second")]
    for job, name in zip(jobs, ("first", "second")):
        code, out, err = job.ended()
        assert code == 0, err
        words = repr(["a b", "it's $HOME", "", "-n", "--env", name])
        assert sorted(out.splitlines()) == ["rank %d of 2: 6 x y %s" % (rank, words) for rank in (0, 1)]


@pytest.mark.parametrize("orders, says", [
    ("worker1=os._exit(3)", "worker 1 ended with exit code 3"),
    ("worker0=os.kill(os.getpid(), 9)", r"worker 0 was ended by SIGKILL \(out of memory\?\)"),
    ("server3=os.kill(os.getpid(), 11)", "server 1 was ended by SIGSEGV"),
    ("scheduler=sys.exit(7)", "the scheduler ended with exit code 7"),
])
def test_a_part_that_ends_badly_ends_the_job(start, part, orders, says):
    job = start("-n", "2", *part, orders)
    code, _, err = job.ended()
    assert code == 1
    assert re.match("error: " + says + ":.*start the job again$", sentence(err))


def test_a_worker_killed_from_outside_takes_even_stubborn_grandchildren_along(start, part):
    stubborn = "worker=subprocess.Popen(['bash', '-c', 'trap : TERM INT; while true; do sleep 1; done'])"
    job = start("-n", "2", "-s", "1", *part, stubborn)
    wait_for(lambda: sum("trap" in line for _, line in job.left() if line.startswith("bash")) == 2)
    worker = next(number for number, line in job.left() if "part with" in line and _role(number) == "worker")
    os.kill(worker, signal.SIGKILL)
    code, _, err = job.ended()
    assert code == 1
    assert re.search(r"worker \d was ended by SIGKILL", sentence(err))


def _role(number):
    with open("/proc/%d/environ" % number, "rb") as file:
        return re.search(rb"DMLC_ROLE=(\w+)", file.read() + b"DMLC_ROLE=none").group(1).decode()


def running_parts(job):
    return sum("part with" in line and _role(number) != "none" for number, line in job.left())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(start, part, number):
    job = start("-n", "2", "-s", "1", *part)
    wait_for(lambda: running_parts(job) >= 4)
    job.process.send_signal(number)
    code, _, err = job.ended()
    assert code == 130
    assert "interrupted" in err and "error: " not in err


def test_killed_outright(start, part):
    job = start("-n", "2", "-s", "1", *part)
    wait_for(lambda: running_parts(job) >= 4)
    job.process.kill()
    job.process.wait(PATIENCE)
    wait_for(lambda: not job.left())


def test_its_watcher_killed(start, part):
    job = start("-n", "2", "-s", "1", *part)
    wait_for(lambda: running_parts(job) >= 4)
    os.kill(next(number for number, line in job.left() if "tracked_job.py" in line), signal.SIGKILL)
    code, _, err = job.ended()
    assert code == 1
    assert "watched the job was ended by SIGKILL" in sentence(err)


def test_a_line_for_the_shell(start, part):
    job = start("-n", "1", "nosuchprogram x; exit 5")
    code, _, err = job.ended()
    assert code == 1
    assert "exit code 5" in sentence(err)


def test_a_program_whose_path_holds_blanks(start, tmp_path):
    program = tmp_path / "a program"
    program.write_text("#!/bin/bash\nexit 6\n")
    program.chmod(0o755)
    code, _, err = start("-n", "1", str(program)).ended()
    assert code == 1
    assert "exit code 6" in sentence(err)


def test_over_ssh(start, part, tmp_path):
    """The ssh that is run here only says where it was to go, and runs the line on this machine."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/bash\necho "to $3, port $5"\nshift 5\nexec bash -c "$*"\n')
    ssh.chmod(0o755)
    (tmp_path / "hosts").write_text("10.0.0.1\n10.0.0.2:2222\n")
    deed = 'worker=print(sys.argv[2], os.environ["TOLD"], os.environ["SECOND"])'
    job = start("-n", "1", "-s", "1", "-H", str(tmp_path / "hosts"), "--env", "TOLD", "--env-worker", 'SECOND:"2"',
                *part, deed, 'a $b "c" \\', "scheduler=time.sleep(0.5)", "done", TOLD="x  y",
                PATH=str(ssh.parent) + os.pathsep + os.environ["PATH"])
    code, out, err = job.ended()
    assert (code, err) == (0, "")
    assert {"to 10.0.0.1, port 22", "to 10.0.0.2, port 2222", 'a $b "c" \\ x  y "2"'} <= set(out.splitlines())


@pytest.mark.parametrize("arguments, says", [
    (["-n", "2"], "which program"),
    (["-n", "2", "--"], "which program"),
    (["-n", "2", "nosuchprogram", "x"], "no program nosuchprogram"),
    (["-n", "0", "true"], "at least one worker"),
    (["-n", "1", "-s", "0", "true"], "at least one server"),
    (["-n", "1", "--launcher", "ssh", "true"], "needs --hostfile"),
    (["-n", "1", "--launcher", "local", "-H", SCRIPT, "true"], "goes with --launcher ssh or mpi"),
    (["-n", "1", "-H", "/nowhere/hosts", "true"], "/nowhere/hosts cannot be read: No such file"),
    (["-n", "1", "-H", SCRIPT, "echo", "it's"], "single quotes"),
    (["-n", "1", "--env-worker", "THREADS", "true"], "NAME:VALUE"),
    (["-n", "1", "--env", "A B", "true"], "no name of a variable"),
    (["-n", "1", "--launcher", "mpi", "-H", SCRIPT, "--env-worker", "A:1", "true"], "local and ssh"),
])
def test_jobs_that_cannot_be_started(capsys, arguments, says):
    assert launch.main(arguments) == 2
    assert says in sentence(capsys.readouterr().err)


def test_help_needs_no_mxnet(start):
    code, out, err = start("--help").ended()
    assert (code, err) == (0, "")
    assert "--num-workers" in out and "--env-worker" in out


def test_workers_that_trained_apart_are_noticed():
    job = tracked_job.Job()
    job.started, job.running = ["the scheduler", "server 0", "worker 0"], {1: "the scheduler", 2: "server 0"}
    assert not job.apart()
    job.last_end -= 60
    assert job.apart()
    job.running[3] = "worker 0"
    assert not job.apart()


def test_endings_in_words():
    assert tracked_job.ending(3) == "ended with exit code 3"
    assert tracked_job.ending(-15) == tracked_job.ending(128 + 15) == "was ended by SIGTERM"
    assert tracked_job.ending(255) == "ended with exit code 255"
