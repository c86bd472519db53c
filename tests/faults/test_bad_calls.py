"""Bad input ends with one sentence, from Python as from the command line; see bad_calls.txt."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults import bad_calls


def test_every_bad_call_is_refused_in_one_sentence_or_is_correct():
    """In a process without the suite's type checks, which would refuse many calls first."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.bad_calls"],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rows"] == len(bad_calls.rows()) >= 300
    assert not result["problems"], "\n".join(result["problems"])


def test_every_row_says_what_is_expected_and_stands_once():
    calls = bad_calls.rows()
    assert [call for call, expected in calls if not expected] == []
    assert len({call for call, _ in calls}) == len(calls)
