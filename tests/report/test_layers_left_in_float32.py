"""What the INT8 form of a plan leaves in float32 besides is told in the plan's own rows."""
from accnn.report.int8 import with_exclusions

OPERATORS = {"conv1": ["conv1"], "conv2": ["conv2_v", "conv2_h"], "conv3": ["conv3_v", "conv3_h"], "fc": ["fc"]}
COSTS = "alone in INT8 it costs the outputs 3%"


def test_rows_say_what_int8_left_out_and_why():
    left = {"conv1": COSTS, "conv2_h": COSTS, "conv3_v": COSTS, "conv3_h": COSTS}
    report = {"layers": [{"layer": part, "precision": "fp32" if part in left else "int8", "reason": left.get(part)}
                         for parts in OPERATORS.values() for part in parts]}
    rows = [{"layer": name, "precision": "int8", "why_fp32": None} for name in OPERATORS]
    assert with_exclusions(rows, report, OPERATORS) == [
        {"layer": "conv1", "precision": "fp32", "why_fp32": COSTS},
        {"layer": "conv2", "precision": "int8", "why_fp32": "conv2_h, " + COSTS},
        {"layer": "conv3", "precision": "fp32", "why_fp32": COSTS}, rows[3]]


def test_rows_in_float32_keep_their_own_reason():
    row = {"layer": "fc", "precision": "fp32", "why_fp32": "it is excluded"}
    report = {"layers": [{"layer": "fc", "precision": "fp32", "reason": "it is excluded"}]}
    assert with_exclusions([row], report, OPERATORS) == [row]
