"""Small latency tables of an imaginary machine."""
from dataclasses import dataclass
from typing import Optional

from accnn.latency.table import LatencyTable, Setting

CHAIN, OTHER, THIRD = "256,28,28|conv 256-64 3x1 p1x0", "512|fc 512-10 b", "3,8,8|conv 3-4 1x1"


@dataclass(frozen=True)
class Timed:
    key: str
    relative: Optional[float]
    spread: Optional[float] = 0.02
    rounds: int = 5
    reference_ms: Optional[float] = 2.0
    refused: Optional[str] = None


SETTING = Setting("An Abacus", "1.9.1", (), 2, 1)


def filled(path, *timed, setting=SETTING):
    table = LatencyTable(setting, str(path))
    for one in timed or [Timed(CHAIN, 1.5)]:
        table.add(one)
    table.save()
    return table


def known(path, setting=SETTING):
    return LatencyTable(setting, str(path))
