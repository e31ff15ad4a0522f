"""Planned networks that earlier runs timed: kept with the times of chains, and no reason that a run fails."""
import json

import pytest

from accnn.core.errors import AccnnError
from accnn.latency.earlier import EarlierPlans
from accnn.latency.table import LatencyTable, Setting
from accnn.timing.job import Timed

SETTING = Setting("An Abacus", "1.9.1", (), 2, 1)
CHAINS = {"conv1": "3,8,8|conv 3-2 3x1 p1x0|conv 2-4 1x3 p0x1 b"}


class Model:
    """Knows what the chains of one layer count."""

    def counted_ratio(self, chains, in_fp32):
        return None if chains.keys() - {"conv1"} else 2.0 + len(in_fp32)


def kept(path, *plans, network="network a"):
    table = LatencyTable(SETTING, str(path))
    table.add(Timed("network a", 1.5, 0.02, 5, 2.0))
    for chains, in_fp32, ratio, uncertainty in plans:
        EarlierPlans(table, network, "network a").keep(chains, in_fp32, {"median": ratio, "uncertainty": uncertainty})
    table.save()
    return path


def points(path, network="network a"):
    return EarlierPlans(LatencyTable(SETTING, str(path)), network, "network a").points(Model())


def test_plans_are_kept_between_runs_the_last_time_of_each(tmp_path):
    path = kept(tmp_path / "t.json", (CHAINS, (), 2.1, 0.01), (CHAINS, ("fc",), 1.9, 0.01))
    assert sorted(points(path)) == [(2.0, 2.1), (3.0, 1.9)]
    kept(path, (CHAINS, (), 2.2, 0.01))
    assert sorted(points(path)) == [(2.0, 2.2), (3.0, 1.9)]
    assert points(path, "network a int8") == []


def test_what_is_not_known_well_is_not_kept(tmp_path):
    assert points(kept(tmp_path / "t.json", (CHAINS, (), 2.1, 0.03), (CHAINS, (), 2.1, None))) == []


def test_plans_of_chains_that_nobody_asks_for_are_left_out(tmp_path):
    assert points(kept(tmp_path / "t.json", (dict(CHAINS, fc="9|fc 9-4 b"), (), 2.1, 0.01))) == []


def test_a_file_of_earlier_versions_has_none_and_an_exported_one_neither(tmp_path):
    path = kept(tmp_path / "t.json", (CHAINS, (), 2.1, 0.01))
    LatencyTable(SETTING, str(path)).export(str(tmp_path / "board.json"))
    assert points(path) and points(tmp_path / "board.json") == []
    document = json.loads(path.read_text())
    del document["measured"][0]["plans"]
    path.write_text(json.dumps(document))
    assert points(path) == [] and LatencyTable(SETTING, str(path)).ms("network a") == 3.0


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": "2"}, {"chains": [1]}, {"chains": {"a": 1}},
                                   {"in_fp32": [1]}, {"network": None}])
def test_a_damaged_plan_is_told(tmp_path, wrong):
    path = kept(tmp_path / "t.json", (CHAINS, (), 2.1, 0.01))
    document = json.loads(path.read_text())
    for entry in document["measured"][0]["plans"].values():
        entry.update(wrong)
    path.write_text(json.dumps(document))
    with pytest.raises(AccnnError, match="is no table of milliseconds"):
        points(path)
