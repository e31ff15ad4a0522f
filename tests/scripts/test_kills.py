"""Scripts killed at some of their operations on files; ``tests/benchmarks/kills.py`` does it at every one."""
import os
import re
import subprocess
import sys

KILLS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks", "kills.py")


def test_nothing_is_torn_left_or_lost():
    ended = subprocess.run([sys.executable, KILLS, "--kills", "3"], stdout=subprocess.PIPE, text=True, timeout=300)
    rows = {line.split()[0]: list(map(int, line.split()[1:])) for line in ended.stdout.splitlines()
            if re.match(r"\S+( +\d+){8}$", line)}
    assert ended.returncode == 0, ended.stdout
    assert set(rows) == {"accnn", "fine-tune", "two-pass", "pack", "get-model"}
    for operations, kills, *_, torn, stray, lost, failed in rows.values():
        assert operations > 20 and kills == 3 and (torn, stray, lost, failed) == (0, 0, 0, 0)
