"""Scripts that score without having all options of score.py."""
from argparse import Namespace

from accnn.cli import calibration
from accnn.cli.score import parser as score_parser
from accnn.cli.scoring import NOT_ASKED


def test_what_is_not_asked_for_is_an_option_of_score():
    assert set(NOT_ASKED) <= {action.dest for action in score_parser("")._actions}


def test_an_engine_that_scores_for_a_report_gets_no_images():
    assert calibration.range_batches(Namespace(**NOT_ASKED), {"data": (3, 8, 8)}) is None
