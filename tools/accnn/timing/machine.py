"""What the milliseconds were measured on."""
import os
import platform

_TELLING = ("MXNET_", "OMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "MKLDNN_")


def cores():
    """int: processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model():
    """str: the name the processor gives itself, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as handle:
            names = [line.split(":", 1)[1].strip() for line in handle if line.lower().startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def environment():
    """dict: processor, versions, and the settings that change what MXNet runs."""
    import numpy

    from accnn.compat import mx

    return {"cpu": cpu_model(), "cores": cores(), "system": platform.platform(),
            "python": platform.python_version(), "mxnet": mx.__version__, "numpy": numpy.__version__,
            "gpus": mx.context.num_gpus(),
            "settings": {name: value for name, value in sorted(os.environ.items())
                         if name.startswith(_TELLING) and not name.endswith("_NUM_THREADS")},  # a run's own matter
            # None is MXNet's default, which for 1.9.1 on the CPU is MKLDNN.
            "MXNET_SUBGRAPH_BACKEND": os.environ.get("MXNET_SUBGRAPH_BACKEND"),
            "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
