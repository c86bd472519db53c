"""What `import mpn_lab` gives, and what it leaves for later."""

import json
import subprocess
import sys

import mpn_lab


def test_public_names():
    for name in mpn_lab.__all__:
        assert getattr(mpn_lab, name).__doc__, name


def test_import_is_light():
    """The rooms that look at results, and their libraries, are imported when they are used."""
    heavy = ["xarray", "sklearn", "ipywidgets", "numba", "pandas", "tyro", "mpn_lab.widgets"]
    code = (
        "import sys, json, mpn_lab; mpn_lab.MPN, mpn_lab.TrialEnv, mpn_lab.TrialReplayBuffer;"
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout.splitlines()[-1]) == []
