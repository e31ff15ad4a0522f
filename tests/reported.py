"""Evidence of a report with something in every attribute."""
from accnn.core.text import before_after
from accnn.report.evidence import ChainPart, Change, Disagreement, PlanPoint, RankCurve, ReportEvidence

PIXEL = "data:image/png;base64," \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def layer(name, method="vh", rank=3):
    """dict: of a layer that was split and fitted."""
    return {"layer": name, "op": "Convolution", "method": method, "rank": rank, "precision": "fp32",
            "reason": None if method else "excluded", "macs_before": 4000, "macs_after": 1000 if method else 4000,
            "energy": 0.8 if method else None, "remark": None,
            "reconstruction": {"before": 0.1, "after": 0.05, "solver": "linear", "samples": 9} if method else None}


def summary(layers=()):
    """dict: of :func:`accnn.report.plan.summary`."""
    layers = list(layers) or [dict(layer("conv1"), reconstruction=None), dict(layer("conv2"), reconstruction=None),
                              layer("conv3", None, None)]
    return {"layers": layers, "made_by": {"ratio": 2.0}, "calibration": None, "input_shapes": {"data": [3, 8, 8]},
            "convolutions": before_after(12000, 6000), "network": before_after(12000, 6000),
            "parameters": before_after(500, 250), "file_bytes": before_after(2_000_000, 1_000_000)}


def timings(names):
    """dict: of :func:`accnn.timing.client.measure`."""
    def side(value):
        return {"median_ms": value, "quartiles_ms": [value, value], "spread": 0.0, "rounds": 5}
    rows = [{"layer": name, "before": side(4.0), "after": side(after)} for name, after in zip(names, (1.0, 3.0, 4.0))]
    run = {"threads": 1, "batch_size": 2, "baseline": side(12.0), "model": side(6.0), "layers": {"rows": rows},
           "measured": {"median": 2.0, "quartiles": [1.9, 2.1], "spread": 0.1, "rounds": 5, "uncertainty": 0.01}}
    return {"runs": [run], "environment": {"cpu": "a processor", "cores": 2, "isa": "AVX2", "amx": False}}


def scores():
    """dict: what score.py prints as JSON."""
    def side(right):
        return {"images": 200, "top": {"1": {"right": right, "accuracy": right / 200}}, "cross_entropy": 0.5}
    return {"model": side(170), "baseline": side(172), "data": {"file": "val.rec"}, "paired": {
        "agreement": 0.9, "only_baseline_right": 5, "only_model_right": 3, "drop": {"1": 0.01},
        "drop_interval_95": [-0.005, 0.025]}}


def everything(name="conv1"):
    """ReportEvidence: with something in every attribute; `name` is one layer's, and of other things."""
    names = [name, "conv2", "conv3"]
    layers = [layer(name), layer("conv2"), layer("conv3", None, None)]
    layers[2]["reason"] = name
    epoch = {"epoch": 0, "lr": None, "train_loss": None, "train_top1": None, "val_images": 10, "val_right": 5,
             "val_right_top5": 9, "val_loss": 0.9, "images_per_second": None, "seconds": 1.0}
    stage = {"group": 1, "stage": "optimise", "layers": [name], "epochs": 1, "fitness": 0.5, "val_loss": 0.5,
             "val_top1": 0.5, "seconds": 1.0}
    return ReportEvidence(
        name, "old", summary=dict(summary(layers), calibration={"images": 5, "file": name, "solver": "linear"}),
        chains={name: (ChainPart(name + "_v", 3, 3, (3, 1)), ChainPart(name + "_h", 3, 8, (1, 3), 2)),
                "conv2": (ChainPart("a", 8, 3), ChainPart("b", 3, 8))},
        plan_text='{"conv_params": "%s"}' % name, timings=timings(names), scores=scores(),
        int8={"layers": [{"layer": name, "precision": "int8", "thresholds": "max", "range": [0, 1], "reason": None},
                         {"layer": "conv2", "precision": "fp32", "thresholds": None, "range": None, "reason": name}],
              "steps": [{"step": name, "before": 0.1, "after": 0.05, "kept": True}], "held": 3, "divergence": 0.01},
        disagreement=Disagreement(200, {(0, 1): 12, (1, 0): 8}, {0: 90, 1: 90}, (Change(3, 1, 0, 1, 0.5, PIXEL),)),
        energies=(RankCurve(name, "vh", ((1, 0.4), (3, 0.8), (8, 1.0)), 3, 0.8),),
        sensitivities=(RankCurve(name, "vh", ((1, 0.4), (3, 0.01), (8, 0.0)), 3, 0.01),
                       RankCurve("conv3", "vh", ((1, 0.4), (3, 0.01)))),
        front=(PlanPoint("original", 1.0, 0.0, 0.0), PlanPoint(name, 2.0, 0.01, 0.01, (-0.005, 0.025), is_chosen=True),
               PlanPoint("int8", 4.0, 0.03, 0.02, (0.0, 0.04), "int8")),
        history=(epoch, dict(epoch, epoch=1, lr=0.1, train_loss=0.8, train_top1=0.6, val_right=8)),
        stages={"stages": [stage], "epochs": 1, "images": 1000, "layers": []}, unknown=(name,), command=name,
        machine={"cpu": name, "cores": 2, "settings": {"MXNET_X": name}}, sources={"history": name})
