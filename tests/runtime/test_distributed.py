"""Several workers and a server on loopback: they train as one, and a job that has lost a part ends."""
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from accnn import fine_tune, launch
from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.runtime import distributed
from accnn.runtime.distributed import open_job
from networks import chain_model, random_model, residual_net, saved
from pictures import items, packed

PATIENCE = 120  # seconds, on a busy machine
TOOLS = os.path.dirname(os.path.dirname(fine_tune.__file__))

SUMS = """
import os, sys
import numpy as np
from accnn.runtime import distributed
distributed.serve_if_asked()
with distributed.open_job("dist_sync", 30) as job:
    big = np.array([[2 ** 53 + 1, 3, 0], [2 ** 40 + job.rank, 4095, 4096]], np.int64)
    said = [job.sum(big).tolist(), job.total(10 ** 15 + 1), job.total(job.rank), job.total(0.25 + job.rank),
            job.sum(np.array([1.5, job.rank])).tolist(), job.workers]
    job.barrier()
    os.write(1, (repr(said) + "\\n").encode())
"""


@pytest.fixture
def environment():
    plain = {key: value for key, value in os.environ.items() if not key.startswith("DMLC_")}
    return dict(plain, PYTHONPATH=TOOLS, OMP_NUM_THREADS="1", ACCNN_TEST_MARKER="accnn-test-%s" % uuid.uuid4())


def left(marker):
    """Process ids of what carries `marker` in its environment."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % number, "rb") as handle:
                if marker.encode() in handle.read() and int(number) != os.getpid():
                    found.append(int(number))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


@pytest.fixture
def start(environment):
    """Start processes whose ends are waited for, and which are gone after the test."""
    children = []

    def run(command, **variables):
        children.append(subprocess.Popen(command, env=dict(environment, **variables), start_new_session=True, text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return children[-1]
    yield run
    for child in children:
        if child.poll() is None:
            child.kill()
    for number in left(environment["ACCNN_TEST_MARKER"]):
        os.kill(number, signal.SIGKILL)


@pytest.fixture
def launched(start, environment):
    """Run a job of two workers with the launcher; return code, stdout, stderr; nothing is left of it."""
    def run(command, code=0, workers=2):
        child = start([sys.executable, launch.__file__, "-n", str(workers), "-s", "1", "--launcher", "local"] + command)
        out, err = child.communicate(timeout=PATIENCE)
        assert child.returncode == code, err
        assert left(environment["ACCNN_TEST_MARKER"]) == [] and "Traceback" not in err
        return out, err
    return run


def job_options(prefix, train, out, *more):
    return ["-m", prefix, "--data-train", train, "--data-val", train, "--image-shape", "3,12,12", "--rgb-mean", "128",
            "--rgb-std", "64", "--lr", "1e-4", "--num-epochs", "2", "--model-prefix", str(out)] + list(more)


def script(*options):
    return [sys.executable, fine_tune.__file__] + list(options) + ["--kv-store", "dist_sync"]


@pytest.fixture
def net(tmp_path):
    return saved(chain_model(), tmp_path / "net")


@pytest.fixture
def train(tmp_path):
    return packed(tmp_path / "train", items(48))


def close(first, second, tolerance=1e-6):
    """Checkpoints agree, and differ from nothing being done."""
    first, second = mx.nd.load(str(first)), mx.nd.load(str(second))
    assert set(first) == set(second)
    for name, array in first.items():
        np.testing.assert_allclose(array.asnumpy(), second[name].asnumpy(), atol=tolerance, err_msg=name)


def log(prefix):
    with open(str(prefix) + "-log.csv") as handle:
        rows = [line.strip().split(",") for line in handle]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def test_sums_are_exact(launched, tmp_path):
    (tmp_path / "sums.py").write_text(SUMS)
    out, _ = launched([sys.executable, str(tmp_path / "sums.py")])
    said = [[[2 * (2 ** 53 + 1), 6, 0], [2 ** 41 + 1, 8190, 8192]], 2 * (10 ** 15 + 1), 1, 1.5, [3.0, 1.0], 2]
    assert out.splitlines() == [repr(said)] * 2


@pytest.mark.parametrize("more", [["--random-crop", "1", "--clip-gradient", "0"],
                                  ["--teacher", "NET", "--optimizer", "adam"]])
def test_two_workers_train_as_one(launched, net, train, tmp_path, more):
    more = [net if word == "NET" else word for word in more]
    launched(script(*job_options(net, train, tmp_path / "two", "--batch-size", "8", *more)))
    assert fine_tune.main(job_options(net, train, tmp_path / "one", "--batch-size", "16", *more)) == 0
    before, after = (mx.nd.load(name)["arg:fc2_weight"].asnumpy() for name in (
        net + "-0001.params", str(tmp_path / "one-0002.params")))
    assert np.abs(after - before).max() > 1e-5
    for end in ("-0001.params", "-0002.params", "-best-0000.params"):
        close(str(tmp_path / "two") + end, str(tmp_path / "one") + end, 1e-5 if "adam" in more else 1e-6)
    for two, one in zip(log(tmp_path / "two"), log(tmp_path / "one")):
        for key in ("epoch", "lr", "val_images"):
            assert two[key] == one[key]
        assert one["val_images"] == "48"
        for key in ("train_loss", "train_top1", "val_right", "val_loss"):
            assert float(two[key] or 0) == pytest.approx(float(one[key] or 0), abs=1e-4)


def test_two_workers_resumed_inside_an_epoch(start, launched, train, tmp_path, environment):
    """BatchNorm statistics and counts are those of both workers."""
    net = saved(random_model(residual_net(), data=(3, 12, 12)), tmp_path / "res")
    more = ["--batch-size", "4", "--num-classes", "5", "--num-epochs", "3"]
    launched(script(*job_options(net, train, tmp_path / "whole", *more)))
    kept = tmp_path / "parts-resume.params"
    child = start([sys.executable, launch.__file__, "-n", "2", "-s", "1", "--launcher", "local"]
                  + script(*job_options(net, train, tmp_path / "parts", "--save-every", "0", *more)))
    from accnn.training import resume

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (not kept.exists() or resume.load(str(tmp_path / "parts"))[1]["place"] < [1, 3]):
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while left(environment["ACCNN_TEST_MARKER"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    launched(script(*job_options(net, train, tmp_path / "parts", "--resume", *more)))
    close(str(tmp_path / "parts-0003.params"), str(tmp_path / "whole-0003.params"))
    for two, one in zip(log(tmp_path / "parts"), log(tmp_path / "whole")):
        for key in ("train_loss", "train_top1", "val_right", "val_loss"):
            assert float(two[key] or 0) == pytest.approx(float(one[key] or 0), abs=1e-4), key


def worker_of(marker):
    """Process id of a worker that trains, or None."""
    for number in left(marker):
        try:
            with open("/proc/%d/environ" % number, "rb") as environ, open("/proc/%d/cmdline" % number, "rb") as line:
                words = line.read().split(b"\0")
                if b"DMLC_ROLE=worker" in environ.read() and words[1:2] == [fine_tune.__file__.encode()]:
                    return number
        except OSError:
            continue
    return None


def test_a_killed_worker_ends_the_job(start, net, train, tmp_path, environment):
    child = start([sys.executable, launch.__file__, "-n", "2", "-s", "1", "--launcher", "local"] + script(*job_options(
        net, train, tmp_path / "out", "--batch-size", "4", "--num-epochs", "5000")))
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "out-0001.params").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(worker_of(environment["ACCNN_TEST_MARKER"]), signal.SIGKILL)
    started = time.monotonic()
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1 and time.monotonic() - started < PATIENCE
    assert re.search(r"error: worker \d was ended by SIGKILL", err) and "Traceback" not in err
    assert left(environment["ACCNN_TEST_MARKER"]) == []
    for name in os.listdir(str(tmp_path)):
        if name.endswith(".params") and not name.startswith("."):
            mx.nd.load(str(tmp_path / name))


def test_without_a_launcher_a_worker_that_waits_gives_up(start, net, train, tmp_path):
    """As on several machines: nobody else tells the one worker that the other is gone."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(port), "DMLC_NUM_WORKER": "2",
              "DMLC_NUM_SERVER": "1", "DMLC_INTERFACE": "lo", "DMLC_NODE_HOST": "127.0.0.1"}
    command = script(*job_options(net, train, tmp_path / "out", "--batch-size", "4", "--num-epochs", "9000",
                                  "--worker-timeout", "4"))
    for role in ("scheduler", "server"):
        start(command, DMLC_ROLE=role, **shared)
    workers = [start(command, DMLC_ROLE="worker", **shared) for _ in range(2)]
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "out-0001.params").exists() and time.monotonic() < end:
        time.sleep(0.05)
    workers[1].kill()
    started = time.monotonic()
    _, err = workers[0].communicate(timeout=PATIENCE)
    assert workers[0].returncode == 1 and time.monotonic() - started < PATIENCE
    assert len(re.findall("^error: worker . waited . s for the others", err, re.M)) == 1


def test_a_worker_imports_mxnet_before_the_time_of_its_first_step_runs(monkeypatch):
    order = []
    monkeypatch.setattr(distributed, "import_mxnet", lambda: order.append("import"))
    monkeypatch.setattr(distributed, "_Watch", lambda timeout: order.append("watch") or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        distributed.DistributedJob("dist_sync", 4)
    assert order == ["import", "watch"]


def test_bad_input_in_one_worker_ends_the_job(launched, net, train, tmp_path):
    lines = " ".join(script(*job_options(net, train, tmp_path / "out", "--batch-size", "4", "--num-epochs", "9000")))
    _, err = launched(["bash", "-c", "[ $DMLC_ROLE$DMLC_TASK_ID != worker1 ] || more='--data-train %s'; exec %s $more"
                       % (tmp_path / "no.rec", lines)], code=1)
    assert re.search("error: .*no.rec", err) and "error: worker 1 ended with exit code 2" in err


def test_another_checkpoint_in_one_worker_ends_the_job(launched, net, train, tmp_path):
    other = saved(chain_model(seed=5), tmp_path / "other")
    lines = " ".join(script(*job_options(net, train, tmp_path / "out", "--batch-size", "4")))
    _, err = launched(["bash", "-c", "[ $DMLC_ROLE$DMLC_TASK_ID != worker1 ] || more='-m %s'; exec %s $more"
                       % (other, lines)], code=1)
    assert "the workers do not read the same checkpoint" in err
    assert not (tmp_path / "out-0001.params").exists()


@pytest.mark.parametrize("store, timeout, says", [("dist_sync", None, "needs a launcher"), ("local", 0.0, "timeout"),
                                                  ("local", float("nan"), "timeout")])
def test_jobs_that_cannot_be_opened(monkeypatch, store, timeout, says):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    with pytest.raises(AccnnError, match=says), open_job(store, timeout):
        pass
