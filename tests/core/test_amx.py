"""The AMX units: asked for and permitted together or not at all; nothing here touches them without permission."""
import os
import subprocess
import sys

import numpy as np
import pytest

import accnn
from accnn.core import amx, compat
from accnn.core.errors import AccnnError
from accnn.timing import client

XEON = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16 amx_tile %s\n"


class Host:
    """A machine whose kernel answers what a test says; `asked` are the calls of arch_prctl."""

    def __init__(self, monkeypatch, tmp_path):
        self.asked, self.supported, self.refused, self._path = [], 1 << 18, 0, tmp_path / "cpuinfo"
        self.cpuinfo(XEON % "amx_int8 amx_bf16")
        real = amx.cpu_flags
        monkeypatch.setattr(amx, "cpu_flags", lambda: real(str(self._path)))
        monkeypatch.setattr(amx, "_arch_prctl", self._arch_prctl)
        monkeypatch.setattr(amx, "_state", {"enabled": False, "wrong": []})
        monkeypatch.setattr(amx.sys, "platform", "linux")
        monkeypatch.setattr(amx.platform, "machine", lambda: "x86_64")
        monkeypatch.delenv(amx.VARIABLE, raising=False)

    def cpuinfo(self, text):
        self._path.write_text(text)

    def _arch_prctl(self, code, argument):
        self.asked.append(code)
        if code == amx._SUPPORTED:
            argument._obj.value = self.supported or 0
            return 22 if self.supported is None else 0
        return self.refused


@pytest.fixture
def host(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path)


def test_without_the_variable_nothing_is_asked_of_the_system(host):
    amx.before_import()
    assert host.asked == [] and not amx.enabled()


@pytest.mark.parametrize("value", ["AVX2", "ALL", "avx512_core_amx"])  # oneDNN takes its names as they are written
def test_a_setting_that_wakes_nothing_asks_for_nothing(host, monkeypatch, value):
    monkeypatch.setenv(amx.VARIABLE, value)
    amx.before_import()
    assert host.asked == [] and not amx.enabled()
    assert value in amx.unusable()


def test_the_variable_brings_the_permission(host, monkeypatch):
    monkeypatch.setenv(amx.VARIABLE, amx.AMX)
    amx.before_import()
    assert host.asked == [amx._SUPPORTED, amx._REQUEST] and amx.enabled() and amx.amx_reason() is None
    amx.before_import()
    assert host.asked == [amx._SUPPORTED, amx._REQUEST]  # once is enough


def refuse_flags(host, _):
    host.cpuinfo(XEON % "amx_bf16")


def refuse_kernel(host, _):
    host.supported = None


def refuse_tiles(host, _):
    host.supported = 0xe7


def refuse_permission(host, _):
    host.refused = 1


def refuse_system(_, monkeypatch):
    monkeypatch.setattr(amx.sys, "platform", "darwin")


def refuse_machine(_, monkeypatch):
    monkeypatch.setattr(amx.platform, "machine", lambda: "aarch64")


@pytest.mark.parametrize("refuse, sentence", [
    (refuse_flags, "amx_int8 not among"), (refuse_kernel, "Linux 5.16"), (refuse_tiles, "Linux 5.16"),
    (refuse_permission, "not permitted"), (refuse_system, "x86-64 Linux only"), (refuse_machine, "aarch64")])
def test_where_the_units_cannot_be_had_mxnet_is_not_imported_with_the_variable(host, monkeypatch, refuse, sentence):
    refuse(host, monkeypatch)
    monkeypatch.setenv(amx.VARIABLE, amx.AMX)
    with pytest.raises(AccnnError, match=sentence) as raised:
        compat.import_mxnet()
    assert "unset it" in str(raised.value) and not amx.enabled()
    monkeypatch.delenv(amx.VARIABLE)
    compat.import_mxnet()
    if refuse is not refuse_permission:  # which nobody knows without asking
        monkeypatch.delitem(sys.modules, "mxnet")
        assert sentence in amx.amx_reason() and sentence in amx.unusable()
        with pytest.raises(AccnnError, match="stay off: .*" + sentence):
            accnn.enable_amx()
        assert amx.VARIABLE not in os.environ


def test_it_is_too_late_once_mxnet_is_there(host):
    assert "mxnet" in sys.modules
    with pytest.raises(AccnnError, match="imported already"):
        accnn.enable_amx()
    assert host.asked == [] and amx.VARIABLE not in os.environ and amx.unusable() is None


def test_no_cpuinfo_no_flags(tmp_path):
    assert amx.cpu_flags(str(tmp_path / "none")) == frozenset()


@pytest.mark.parametrize("asked, precisions, value, chosen", [
    (None, ["fp32"], None, False), (None, ["fp32", "int8"], None, True), (None, ["bf16"], None, True),
    (None, ["fp32"], amx.AMX, True), (True, ["fp32"], None, True), (False, ["int8"], amx.AMX, False),
    (None, ["int8"], "AVX2", False)])
def test_processes_that_are_started_use_them_where_that_is_of_use(host, monkeypatch, asked, precisions, value, chosen):
    if value:
        monkeypatch.setenv(amx.VARIABLE, value)
    assert amx.chosen(asked, precisions) is chosen
    environment = client.environment_for(1, chosen)
    assert environment.get(amx.VARIABLE) == (amx.AMX if chosen else None if value == amx.AMX else value)


def test_what_is_asked_for_and_cannot_be_had_is_refused(host):
    refuse_flags(host, None)
    assert amx.chosen(None, ["int8"]) is False and amx.chosen(False, ["int8"]) is False
    with pytest.raises(AccnnError, match="`amx`.*amx_int8"):
        amx.chosen(True, ["int8"])


@pytest.mark.parametrize("flags, value, isa", [
    ("sse4_1 avx avx2", None, "AVX2"), ("sse4_1 avx avx2 avx_vnni", None, "AVX2_VNNI"), ("sse4_1", None, "SSE41"),
    ("sse4_1 avx avx2 avx512f avx512bw avx512vl avx512dq", None, "AVX512_CORE"),
    ("sse4_1 avx avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni", None, "AVX512_CORE_VNNI"),
    ("sse4_1 avx avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni", "AVX2", "AVX2"),
    ("sse4_1 avx avx2 avx512f avx512bw avx512vl avx512dq", "no such set", "AVX512_CORE"), ("", None, "x86_64")])
def test_the_instruction_set_is_named_as_onednn_names_it(host, monkeypatch, flags, value, isa):
    host.cpuinfo("flags : %s\n" % flags)
    if value:
        monkeypatch.setenv(amx.VARIABLE, value)
    assert amx.isa() == isa and amx.isa(True) == amx.AMX


class Wrong:
    """MXNet, but for a convolution in INT8 that is wrong in one place."""

    def __init__(self, mxnet):
        self.__dict__.update(mxnet.__dict__)
        self.nd, self.contrib, self._real = self, self, mxnet.nd

    def array(self, *arguments, **how):
        return self._real.array(*arguments, **how)

    def quantized_conv(self, *arguments, **how):
        sums = self._real.contrib.quantized_conv(*arguments, **how)
        sums[0][0, 3, 2, 1] += 1
        return sums


def test_parity_is_checked_in_both_precisions(host, monkeypatch):
    mxnet = compat.import_mxnet()
    assert amx.disagreeing(mxnet) == [] and amx.disagreeing(Wrong(mxnet)) == ["INT8"]
    amx._state["enabled"] = True
    monkeypatch.setenv(amx.VARIABLE, amx.AMX)
    for _ in range(2):  # and what was found wrong once stays so
        with pytest.raises(AccnnError, match="INT8 convolutions wrongly"):
            amx.after_import(Wrong(mxnet))
    assert amx.VARIABLE not in os.environ


PROGRAM = """
import os, subprocess, sys
import accnn
if {on}:
    accnn.enable_amx()
import numpy as np
from accnn.core.compat import import_mxnet
mx = import_mxnet()
rng = np.random.RandomState(0)
data, weight = mx.nd.array(rng.randn(1, 64, 12, 12)), mx.nd.array(rng.randn(64, 64, 3, 3))
out = mx.nd.Convolution(data, weight, kernel=(3, 3), num_filter=64, no_bias=True).asnumpy()
np.save(sys.argv[1], out)
subprocess.run([sys.executable, "-c", "import os; print(os.environ.get('DNNL_MAX_CPU_ISA'))"])
"""


@pytest.mark.skipif(amx.unusable() is not None, reason="needs AMX: %s" % amx.unusable())
def test_float32_stays_float32_and_children_inherit_nothing(tmp_path):
    results = []
    for on in (False, True):
        path = tmp_path / ("%s.npy" % on)
        done = subprocess.run([sys.executable, "-c", PROGRAM.format(on=on), str(path)], capture_output=True, text=True,
                              timeout=120, env=dict(os.environ, PYTHONPATH=os.path.dirname(accnn.__path__[0])))
        assert done.returncode == 0 and done.stdout.split() == ["None"], done.stderr
        results.append(np.load(path))
    assert np.array_equal(*results)
