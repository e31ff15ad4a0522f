"""Instruction sets of the processor, and the AMX units that MXNet's oneDNN uses only after two steps.

oneDNN 2.4.4, which is a part of mxnet 1.9.1, computes INT8 and bfloat16 in AMX tiles only where the environment said
``DNNL_MAX_CPU_ISA=AVX512_CORE_AMX`` before its first pass, and Linux lets a process touch the tiles only after it asked
for them with ``arch_prctl``. With the variable alone the process is ended by a signal at its first pass. So both happen
here and nowhere else: :func:`before_import` and :func:`after_import`, which ``core.compat`` calls around the import.
"""
import ctypes
import os
import platform
import sys

import numpy as np

from accnn.core.errors import AccnnError
from accnn.core.layers import FP32

VARIABLE, AMX = "DNNL_MAX_CPU_ISA", "AVX512_CORE_AMX"
# What oneDNN calls instruction sets, from the least, and the flags in /proc/cpuinfo that each asks for.
_SETS = {"SSE41": {"sse4_1"}, "AVX": {"avx"}, "AVX2": {"avx2"}, "AVX2_VNNI": {"avx2", "avx_vnni"},
         "AVX512_CORE": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
         "AVX512_CORE_VNNI": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
         "AVX512_CORE_BF16": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16"}}
_TILES = {"amx_tile", "amx_int8", "amx_bf16"}
_ARCH_PRCTL, _SUPPORTED, _REQUEST = 158, 0x1021, 0x1023  # x86-64: the system call, ARCH_GET_XCOMP_SUPP, .._REQ_.._PERM
_XTILEDATA = 18

_state = {"enabled": False, "wrong": []}


def enabled():
    """bool: MXNet was imported, by this package, with the AMX units at hand."""
    return _state["enabled"]


def amx_reason():
    """Say why the AMX units cannot be used.

    Returns
    -------
    str or None
        None where :func:`accnn.enable_amx` will do, or has been done.
    """
    if enabled():
        return None
    if "mxnet" in sys.modules:
        return "mxnet has been imported already: call accnn.enable_amx() before the first import of mxnet"
    return unusable()


def chosen(asked, precisions):
    """Whether processes that this one starts are to use AMX.

    Parameters
    ----------
    asked : bool or None
        None: where one of the precisions gains by it and it can be used, or the environment asks for it.
    precisions : iterable of str
        Of :data:`accnn.core.layers.PRECISIONS`.

    Returns
    -------
    bool

    Raises
    ------
    AccnnError
        It is asked for and cannot be used.
    """
    why = unusable()
    if asked and why is not None:
        raise AccnnError("`amx`: the AMX units cannot be used: %s" % why)
    wished = enabled() or os.environ.get(VARIABLE) == AMX or set(precisions) - {FP32}
    return bool(wished) and why is None if asked is None else asked


def unusable():
    """str or None: what stands against AMX in a process that this one starts."""
    if os.environ.get(VARIABLE, AMX) != AMX:
        return "the environment says %s=%s: unset it" % (VARIABLE, os.environ[VARIABLE])
    return _lacking()


def _lacking():
    """str or None: what this machine lacks."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "they exist on x86-64 Linux only, and this is %s on %s" % (platform.machine(), platform.system())
    missing = sorted(_TILES - cpu_flags())
    if missing:
        return "this processor has none (%s not among the flags in /proc/cpuinfo)" % ", ".join(missing)
    tiles = ctypes.c_uint64()
    if _arch_prctl(_SUPPORTED, ctypes.byref(tiles)) or not tiles.value >> _XTILEDATA & 1:
        return "this system does not hand out the tile registers: Linux 5.16 or newer does, and a sandbox must let it"
    return None


def cpu_flags(path="/proc/cpuinfo"):
    """frozenset of str: the flags of the first processor; empty where the system does not tell."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            lines = [line.split(":", 1)[1] for line in handle if line.startswith("flags")]
    except OSError:
        lines = []
    return frozenset(lines[0].split()) if lines else frozenset()


def _arch_prctl(code, argument):
    """int: 0, or the number of the error."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() or -1 if libc.syscall(_ARCH_PRCTL, code, argument) else 0


def _permission():
    """Ask Linux for the tile registers, for all threads of this process and those it forks; str or None: why not."""
    error = _arch_prctl(_REQUEST, ctypes.c_ulong(_XTILEDATA))
    return "Linux refuses the tile registers (%s)" % os.strerror(error) if error else None


def isa(amx=None):
    """str: the instruction set that oneDNN computes with, by oneDNN's name of it; of other processors the machine's.

    Parameters
    ----------
    amx : bool, optional
        Of a process with or without the AMX units; default: of this one.
    """
    if enabled() if amx is None else amx:
        return AMX
    flags, highest = cpu_flags(), os.environ.get(VARIABLE)
    names = list(_SETS)[:list(_SETS).index(highest) + 1] if highest in _SETS else list(_SETS)
    return next((name for name in reversed(names) if _SETS[name] <= flags), platform.machine())


def limited():
    """str: a remark that the environment keeps oneDNN from newer instruction sets, or ''."""
    highest = os.environ.get(VARIABLE)
    return ", because the environment says %s=%s" % (VARIABLE, highest) if highest in _SETS else ""


def environment_for(amx):
    """Return the environment of a process to be started, which imports MXNet through this package.

    Parameters
    ----------
    amx : bool
        Whether it is to use AMX.

    Returns
    -------
    dict of str to str
    """
    without = {name: value for name, value in os.environ.items() if (name, value) != (VARIABLE, AMX)}
    return dict(without, **{VARIABLE: AMX}) if amx else without


def before_import():
    """Where the environment lets oneDNN use AMX, get the permission too; without effect where it does not.

    Raises
    ------
    AccnnError
        There is none to be had: MXNet would be ended by a signal.
    """
    if os.environ.get(VARIABLE) != AMX or enabled():
        return
    why = _lacking() or _permission()
    if why is not None:
        raise AccnnError("%s=%s is set, but the AMX units cannot be used: %s; unset it" % (VARIABLE, AMX, why))
    _state["enabled"] = True


def after_import(mxnet):
    """Have oneDNN read its setting, see that AMX computes rightly, and take the setting out of the environment.

    Processes that this one starts would inherit the variable, but not the permission.

    Parameters
    ----------
    mxnet : module

    Raises
    ------
    AccnnError
        The results are wrong.
    """
    if enabled() and os.environ.get(VARIABLE) == AMX:
        _state["wrong"] = disagreeing(mxnet)
        del os.environ[VARIABLE]
    if _state["wrong"]:
        raise AccnnError("the AMX units compute %s convolutions wrongly here: run without AMX"
                         % " and ".join(_state["wrong"]))


def disagreeing(mxnet):
    """list of str: precisions in which a small convolution does not agree with float32, by two passes of MXNet."""
    rng = np.random.RandomState(0)
    # Whole numbers whose sums are exact in float32 and INT8, and right to the last of eight bits in bfloat16.
    data, weight = rng.randint(0, 16, (1, 64, 8, 8)), rng.randint(-8, 8, (64, 64, 3, 3))
    how = {"kernel": (3, 3), "pad": (1, 1), "num_filter": 64, "no_bias": True}
    exact, half = _float_passes(mxnet, data, weight, how)
    found = [("bfloat16", np.abs(half - exact).max() <= 2.0 ** -7 * np.abs(exact).max()),
             ("INT8", np.array_equal(_int8_pass(mxnet, data, weight, how), exact))]
    return [name for name, agrees in found if not agrees]


def _float_passes(mxnet, data, weight, how):
    """Return ndarrays: a convolution in float32, and in bfloat16."""
    variables, bfloat16 = [mxnet.sym.Variable(name) for name in ("data", "weight")], np.dtype([("bfloat16", np.uint16)])
    cast = mxnet.sym.amp_cast
    half = mxnet.sym.Convolution(*(cast(one, dtype=bfloat16) for one in variables), **how)
    both = mxnet.sym.Group([mxnet.sym.Convolution(*variables, **how), cast(half, dtype="float32")])
    arrays = {"data": mxnet.nd.array(data), "weight": mxnet.nd.array(weight)}
    return [output.asnumpy() for output in both.bind(mxnet.cpu(), arrays, grad_req="null").forward()]


def _int8_pass(mxnet, data, weight, how):
    """ndarray: the sums of a convolution in INT8, as whole numbers."""
    ranges = [mxnet.nd.array([bound]) for bound in (0, 255, -127, 127)]
    return mxnet.nd.contrib.quantized_conv(mxnet.nd.array(data, dtype="uint8"), mxnet.nd.array(weight, dtype="int8"),
                                           *ranges, **how)[0].asnumpy()
