"""Order, groups and stages, before anything is computed."""
import pytest

from accnn.iterative.stages import PER_GROUP, TOGETHER, grouped, ordered, stages_of


def test_orders():
    names = ["a", "b", "c", "d"]
    assert ordered(names) == names
    assert ordered(names, {"a": 0.5, "b": 0.1, "c": 0.9, "d": 0.1}) == ["b", "d", "a", "c"]


@pytest.mark.parametrize("layers, count, sizes", [(12, 3, [4, 4, 4]), (13, 3, [5, 4, 4]), (5, 3, [2, 2, 1]),
                                                  (2, 3, [1, 1]), (4, 1, [4])])
def test_groups_are_contiguous_and_balanced(layers, count, sizes):
    found = grouped(list(range(layers)), count)
    assert [len(group) for group in found] == sizes and sum(found, []) == list(range(layers))


def told(stages):
    return [(stage.kind, stage.group, stage.epochs) for stage in stages]


def test_the_five_steps_of_a_group():
    assert told(stages_of(2, 3, 1)) == [
        ("restore", 1, 0), ("optimise", 1, 3), ("decompose", 1, 0), ("fine-tune", 1, 1),
        ("restore", 2, 0), ("optimise", 2, 3), ("decompose", 2, 0), ("fine-tune", 2, 1)]


def test_one_pass_trains_as_long():
    assert told(stages_of(2, 3, 1, PER_GROUP)) == [("decompose", 1, 0), ("fine-tune", 1, 4), ("decompose", 2, 0),
                                                   ("fine-tune", 2, 4)]
    assert told(stages_of(2, 3, 1, TOGETHER)) == [("decompose", 1, 0), ("fine-tune", 1, 8)]
