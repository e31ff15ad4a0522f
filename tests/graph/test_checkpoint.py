"""Reading every form of symbol JSON, refusing what is no checkpoint, and saving whole or not at all."""
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from accnn.core.compat import mx
from accnn.core.errors import AccnnError
from accnn.graph import checkpoint
from accnn.graph.checkpoint import load_model, save_model
from accnn.planning.accelerator import Accelerator
from damage import as_version_08, as_version_09
from networks import chain_model, outputs, random_input, random_model, residual_net, saved
from processes import Forked, stop


def with_old_spelling(document):
    """Values as Python 2 and other exporters spelled them."""
    text = json.dumps(document)
    text = re.sub(r'"\((\d+), (\d+)\)"', r'"(\1L, \2L)"', text)
    return json.loads(text.replace('"True"', '"1"'))


@pytest.mark.parametrize("form", [as_version_08, as_version_09, with_old_spelling])
def test_older_forms_of_symbol_json(tmp_path, form):
    model, x = random_model(residual_net(), data=(3, 8, 8)), random_input(1, 3, 8, 8)
    prefix = saved(model, tmp_path / "old")
    with open(prefix + "-symbol.json") as handle:
        document = form(json.load(handle))
    with open(prefix + "-symbol.json", "w") as handle:
        json.dump(document, handle)
    loaded = load_model(prefix)
    assert (outputs(loaded, data=x)[0] == outputs(model, data=x)[0]).all()


def test_nodes_out_of_topological_order(tmp_path):
    model = chain_model()
    prefix = saved(model, tmp_path / "m")
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    last = len(document["nodes"]) - 1

    def turned(entry):
        return [last - entry[0]] + entry[1:]

    nodes = [dict(node, inputs=[turned(e) for e in node["inputs"]]) for node in reversed(document["nodes"])]
    document = {"nodes": nodes, "heads": [turned(h) for h in document["heads"]],
                "arg_nodes": [i for i, node in enumerate(nodes) if node["op"] == "null"]}
    with open(prefix + "-symbol.json", "w") as handle:
        json.dump(document, handle)
    assert load_model(prefix).symbol.tojson() == model.symbol.tojson()


def test_gluon_export(tmp_path):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 3, in_channels=3, activation="relu"), mx.gluon.nn.BatchNorm(in_channels=6),
            mx.gluon.nn.Flatten(), mx.gluon.nn.Dense(4, in_units=6 * 36))
    net.initialize()
    net.hybridize()
    wanted = net(mx.nd.array(random_input(1, 3, 8, 8))).asnumpy()
    net.export(str(tmp_path / "net"))
    model = load_model(str(tmp_path / "net"))
    assert (outputs(model, data=random_input(1, 3, 8, 8))[0] == wanted).all()
    net.save_parameters(str(tmp_path / "net-0003.params"))
    with pytest.raises(AccnnError, match="export"):
        load_model(str(tmp_path / "net"), 3)


def test_load_save_load_is_the_identity(tmp_path):
    first = saved(random_model(residual_net(), data=(3, 8, 8)), tmp_path / "a")
    second = saved(load_model(first), tmp_path / "b")
    for end in ("-symbol.json", "-0001.params"):
        with open(first + end, "rb") as a, open(second + end, "rb") as b:
            assert a.read() == b.read()


def test_saved_files_are_what_mxnet_reads(tmp_path):
    model = chain_model()
    prefix = saved(model, tmp_path / "m", 7)
    symbol, args, aux = mx.model.load_checkpoint(prefix, 7)
    assert symbol.tojson() == model.symbol.tojson() and set(args) == set(model.arg_params) and not aux


def test_epochs(tmp_path):
    model = chain_model()
    for epoch in (0, 3, 12):
        saved(model, tmp_path / "m", epoch)
    prefix = str(tmp_path / "m")
    assert checkpoint.epochs(prefix) == [0, 3, 12] and checkpoint.choose_epoch(prefix) == 12
    saved(model, prefix, 1)
    assert checkpoint.choose_epoch(prefix) == 1 and checkpoint.choose_epoch(prefix, 3) == 3
    with pytest.raises(AccnnError, match=r"m-0004.params does not exist; saved are the epochs 0, 1, 3, 12"):
        load_model(prefix, 4)


def _spoil(path, how):
    with open(path, "rb") as handle:
        data = handle.read()
    with open(path, "wb") as handle:
        handle.write(how(data))


SPOILED = {
    "empty": lambda data: b"",
    "garbage": lambda data: bytes(range(256)) * 4,
    "json": lambda data: b"{}",
    "header only": lambda data: data[:24],
    "cut at 100": lambda data: data[:100],
    "cut in half": lambda data: data[:len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "huge count": lambda data: data[:16] + (2 ** 40).to_bytes(8, "little") + data[24:],
}


@pytest.mark.parametrize("how", SPOILED.values(), ids=list(SPOILED))
def test_spoiled_parameters(tmp_path, how):
    prefix = saved(chain_model(), tmp_path / "m")
    _spoil(prefix + "-0001.params", how)
    with pytest.raises(AccnnError, match="m-0001.params"):
        load_model(prefix)


NO_SYMBOLS = {
    "empty": "", "text": "hello", "number": "3", "list": "[]", "object": "{}", "deep": "[" * 100000,
    "nodes no list": '{"nodes": 3, "heads": []}', "cut": '{"nodes": [{"op": "null"',
    "unknown operator": '{"nodes": [{"op": "Nonsense", "name": "n", "inputs": []}], "arg_nodes": [], '
                        '"heads": [[0, 0, 0]]}',
    "entry outside": '{"nodes": [{"op": "null", "name": "d", "inputs": []}, {"op": "relu", "name": "r", "inputs": '
                     '[[7, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}',
    "reads itself": '{"nodes": [{"op": "null", "name": "d", "inputs": []}, {"op": "relu", "name": "r", "inputs": '
                    '[[1, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}',
    "output that is not": '{"nodes": [{"op": "null", "name": "d", "inputs": []}, {"op": "relu", "name": "r", "inputs": '
                          '[[0, 4, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}',
    "not UTF-8": b"\xff\xfe\x00{",
}


@pytest.mark.parametrize("text", NO_SYMBOLS.values(), ids=list(NO_SYMBOLS))
def test_files_that_are_no_symbols(tmp_path, text):
    prefix = saved(chain_model(), tmp_path / "m")
    _spoil(prefix + "-symbol.json", lambda data: text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AccnnError) as refused:
        load_model(prefix)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["arg_params", "aux_params"])
def test_parameters_that_are_no_numbers(tmp_path, value, where):
    model = random_model(residual_net(), data=(3, 8, 8))
    name = sorted(getattr(model, where))[0]
    array = getattr(model, where)[name].asnumpy()
    array.reshape(-1)[-1] = value
    getattr(model, where)[name] = mx.nd.array(array)
    with pytest.raises(AccnnError, match="%s holds NaN or infinity" % name):
        load_model(saved(model, tmp_path / "m"))


def _snapshot(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


def test_a_full_disk_leaves_the_old_files(tmp_path):
    """The file size is limited at every place of the write: in the middle, in the last block, at the last byte."""
    prefix = saved(chain_model(seed=1), tmp_path / "m")
    before, size = _snapshot(tmp_path), os.path.getsize(prefix + "-0001.params")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, size // 2, size - 4000, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            with pytest.raises(AccnnError, match="cannot be written"):
                save_model(chain_model(seed=2), prefix)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert _snapshot(tmp_path) == before
    save_model(chain_model(seed=2), prefix)
    assert _snapshot(tmp_path) != before


TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATHS = [TESTS, os.path.join(os.path.dirname(TESTS), "tools")]
def two_models():
    return [chain_model(seed=s, widths=(32, 64, 64)) for s in (1, 2)]


def keep_saving(prefix):
    for model in itertools.cycle(two_models()):
        save_model(model, prefix)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_save_leaves_an_old_or_a_new_file(tmp_path, kill):
    whole = []
    for i, model in enumerate(two_models()):
        prefix = saved(model, tmp_path / ("whole%d" % i))
        with open(prefix + "-0001.params", "rb") as handle:
            whole.append(handle.read())
    target = tmp_path / "target"
    target.mkdir()
    for attempt in range(4):
        child = Forked(keep_saving, str(target / "m"))
        end = time.monotonic() + 60
        while len(os.listdir(target)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.1 + 0.037 * attempt)
        stop(child, kill)
        assert (target / "m-0001.params").read_bytes() in whole
        load_model(str(target / "m"))
        left = [name for name in os.listdir(target) if name.endswith(".tmp")]
        assert kill == signal.SIGKILL or not left


def test_sparse_parameters_and_empty_files(tmp_path):
    model = chain_model()
    prefix = saved(model, tmp_path / "m")
    arrays = {"arg:" + name: array for name, array in model.arg_params.items()}
    embedding = mx.nd.ones((4, 3)).tostype("row_sparse")
    embedding.wait_to_read()  # mx.nd.save writes how many rows there are before it waits for them
    mx.nd.save(prefix + "-0001.params", dict(arrays, **{"arg:embedding": embedding}))
    with pytest.raises(AccnnError, match="embedding is sparse"):
        load_model(prefix)
    mx.nd.save(prefix + "-0001.params", {})
    with pytest.raises(AccnnError, match="has no parameter 'conv1_weight', 'conv1_bias'.*the layers 'conv1', 'conv2'"):
        load_model(prefix)
    assert load_model(prefix, inputs=model.arg_params).arg_params == {}


FUZZ = """
import random, sys
sys.path[:0] = {path!r}
from accnn.core.errors import AccnnError
from accnn.graph.checkpoint import load_model
prefix, path = sys.argv[1], sys.argv[1] + "-0001.params"
with open(path, "rb") as handle:
    whole = handle.read()
rng = random.Random(0)
ends = list(range(0, 120)) + list(range(len(whole) - 260, len(whole)))
for turn in range(300):
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        data[rng.choice(ends)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    with open(path, "wb") as handle:
        handle.write(data[:rng.randint(0, len(data))] if turn % 5 == 0 else data)
    try:
        load_model(prefix)
    except AccnnError:
        pass
"""


def test_damaged_parameters_never_crash_mxnet(tmp_path):
    """Bytes of headers, shapes, types and names are overwritten: refused or loaded, but no crash and no traceback."""
    prefix = saved(chain_model(), tmp_path / "m")
    done = subprocess.run([sys.executable, "-c", FUZZ.format(path=PATHS), prefix], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("spoil, told", [
    (lambda nodes: nodes[3]["inputs"].pop(), None), (lambda nodes: nodes[3].update(inputs=[[0, 0, 0]]), "no weight"),
    (lambda nodes: nodes[3]["attrs"].update(num_group="0"), "num_group=0"),
    (lambda nodes: nodes[3]["attrs"].update(num_group="2147483648"), None),
    (lambda nodes: nodes[4].update(op="_Native", attrs={"info": "0x1234"}), "_Native"),
    (lambda nodes: nodes[3].update(inputs=[[7, 0, 0]] + nodes[3]["inputs"][1:]), "cycle"),
])
def test_symbols_that_crash_mxnet(tmp_path, spoil, told):
    prefix = saved(chain_model(), tmp_path / "m")
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    assert document["nodes"][3]["op"] == "Convolution" and document["nodes"][4]["op"] == "Activation"
    spoil(document["nodes"])
    with open(prefix + "-symbol.json", "w") as handle:
        json.dump(document, handle)
    with pytest.raises(AccnnError, match=told):
        Accelerator(load_model(prefix), {"data": (3, 12, 12)})


def test_heads_that_do_not_exist(tmp_path):
    prefix = saved(chain_model(), tmp_path / "m")
    with open(prefix + "-symbol.json") as handle:
        document = json.load(handle)
    document["heads"][0][1] = 5
    with open(prefix + "-symbol.json", "w") as handle:
        json.dump(document, handle)
    with pytest.raises(AccnnError, match="the network reads output 5"):
        load_model(prefix)
