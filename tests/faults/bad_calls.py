"""Makes the calls of bad_calls.txt and prints, as JSON, those that do not do what the table says.

It runs in a process of its own, without the type checks of the test suite, as a user's code does.
`python -m tests.faults.bad_calls -v` prints what every call does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("bad_calls.txt")
RAW = re.compile(
    r"https?://|Traceback|errno|validation error|argument of type|unsupported operand|"
    r"object has no attribute|not subscriptable|positional argument|object at 0x|\bdtype\('|"
    r"unexpected keyword|Input should|not supported between"
)


def rows() -> list[tuple[str, str]]:
    """Read the table: call and expectation."""
    lines = [line.strip() for line in TABLE.read_text().splitlines()]
    pairs = [line.partition(" ==> ") for line in lines if line and not line.startswith("#")]
    return [(call.strip(), expected.strip()) for call, _, expected in pairs]


def namespace(folder: Path) -> dict[str, Any]:
    """Make the networks, runs and records that the calls share."""
    import gymnasium as gym
    import matplotlib
    import numpy as np
    import torch
    import xarray as xr

    matplotlib.use("agg")
    import mpn_lab
    import mpn_lab.analysis as analysis
    import mpn_lab.interventions as interventions
    import mpn_lab.plotting as plotting
    from mpn_lab.networks.state_codec import StateCodec
    from mpn_lab.replay.sequences import SequenceReplayBuffer
    from mpn_lab.tasks.streams import TrialStream

    torch.set_num_threads(1)
    task = "DelayMatchSample-v0"
    settings = {
        "task": task, "trials": 40, "hidden_size": 4, "eval_freq": 20, "eval_trials": 4,
        "train_freq": 10, "batch_size": 4, "learning_starts": 10, "gradient_steps": 1,
        "store_trials": 2,
    }  # fmt: skip
    config = mpn_lab.TrainConfig(**settings)
    run = mpn_lab.train(config, folder / "run", progress=False)
    supervised = mpn_lab.SupervisedConfig(
        trials=8, batch_size=4, eval_freq=4, eval_trials=4, hidden_size=4
    )
    network = run.network
    trials = mpn_lab.record(run, trials=30)
    gru = mpn_lab.QNetwork(3, 3, core="gru", hidden_size=4)

    def steps(n: int = 2, d: int = 3) -> tuple[list, list, list, list]:
        return [[0.0] * d] * n, [0] * n, [0.0] * n, [False] * (n - 1) + [True]

    def filled() -> Any:
        buffer = mpn_lab.TrialReplayBuffer(4, n_actions=3, max_steps=4)
        for _ in range(4):
            buffer.push_trial(*steps())
        return buffer

    def untouched(**changes: Any) -> bool:
        """Whether a trial that is refused leaves a full buffer as it was."""
        buffer, names = filled(), ("obs", "action", "reward", "done")
        before = [a.copy() for a in buffer.state()[0].values()]
        try:
            buffer.push_trial(*(dict(zip(names, steps(), strict=True)) | changes).values())
        except ValueError:
            after = buffer.state()[0].values()
            return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        return False

    def under(switch: Any, work: Any) -> Any:
        """Do some work with one of torch's global switches changed."""
        with switch:
            return work()

    @contextlib.contextmanager
    def double():
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    def core(**changes: Any) -> Any:
        """Return a class of a core, changed."""
        return type("Core", (mpn_lab.GRU,), changes)

    class Broken(gym.Env):
        """A task that gives nan in the middle of a trial."""

        observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.steps = 0
            return np.zeros(2), {}

        def step(self, action):
            self.steps += 1
            return np.full(2, np.nan), 0.0, self.steps == 2, False, {}

    class Endless(Broken):
        """A task that ends no trial."""

        def step(self, action):
            return np.zeros(2), 0.0, False, False, {}

    gym.register("Endless-v0", Endless)
    from matplotlib.figure import Figure

    every = {name: getattr(mpn_lab, name) for name in mpn_lab.__all__}
    every |= {name: getattr(analysis, name) for name in analysis.__all__}
    every |= {name: getattr(interventions, name) for name in interventions.__all__}
    every |= {name: getattr(plotting, name) for name in plotting.__all__}
    codec = StateCodec(network)
    return every | {
        "np": np, "torch": torch, "xr": xr, "T": task, "run": run, "network": network, "gru": gru,
        "trials": trials, "of_gru": mpn_lab.record(gru, task, trials=12), "codec": codec,
        "config": config, "settings": settings, "supervised": supervised, "folder": folder,
        "env": mpn_lab.TrialEnv(task, seed=0), "stale": mpn_lab.staleness(run, window=8),
        "memory": mpn_lab.train(config.model_copy(update={"store_trials": 0}), False,
                                progress=False),
        "steps": steps, "filled": filled, "untouched": untouched, "under": under,
        "double": double, "core": core, "Broken": Broken, "rng": np.random.default_rng(0),
        "batch": filled().sample(2), "SequenceReplayBuffer": SequenceReplayBuffer,
        "TrialStream": TrialStream, "ax": Figure().add_subplot(), "components": pca_of(trials),
        "obs": torch.zeros(2, 5, 3), "nan": float("nan"), "inf": float("inf"),
        "monitor": mpn_lab.TrainingMonitor(config), "huge": 10**12,
        "explorer": mpn_lab.TrialExplorer(trials),
        "stale_explorer": mpn_lab.StalenessExplorer,
        "metrics": run.metrics, "Path": Path,
    }  # fmt: skip


def pca_of(trials: Any) -> Any:
    """Return the first two components of M."""
    from mpn_lab.analysis import pca

    return pca(trials, "M", 2)


def fails(call: str, expected: str, names: dict[str, Any]) -> tuple[str, str]:
    """Make a call. Returns what it did, and what is wrong with that, if anything."""
    from mpn_lab import RecordError, RunError

    if expected.startswith("ok"):
        try:
            result = eval(call, dict(names))
        except BaseException as error:
            return f"{type(error).__name__}: {error}", "should be correct"
        return "ok", "" if result is True else f"is {result!r}, not True"
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if call.startswith("$"):
                from mpn_lab.cli import main

                words = shlex.split(call[1:].replace("RUN", str(names["folder"] / "run")))
                main(words)
                result = out.getvalue()
            else:
                result = eval(call, dict(names))
    except SystemExit as stop:
        text = str(stop.code)
        if expected.startswith("help: "):
            shown = " ".join(out.getvalue().replace("│", " ").split())
            wrong = "" if expected.removeprefix("help: ") in shown and stop.code == 2 else "help"
            return shown, wrong
        if not text.startswith(("error: ", "interrupted: ")):
            return f"SystemExit {text} {out.getvalue()}", "not one sentence"
        text = text.removeprefix("error: ")
    except (ValueError, RunError, RecordError) as error:
        text = str(error)
        if type(error).__name__ not in ("ValueError", "ConfigError", "CoreError", "RunError",
                                        "RecordError", "TraitError"):  # fmt: skip
            return f"{type(error).__name__}: {text}", "a foreign error"
    except BaseException as error:
        return f"{type(error).__name__}: {error}", "a raw error"
    else:
        return f"returns {str(result)[:200]!r}", "is not refused"
    if "\n" in text or not re.search(r"[.!?]['\")]?$", text):
        return text, "is not one sentence"
    if found := RAW.search(text):
        return text, f"holds raw text ({found.group()!r})"
    return text, "" if expected in text and expected else f"lacks {expected!r}"


def main() -> None:
    verbose, problems = "-v" in sys.argv, []
    only = [word for word in sys.argv[1:] if word != "-v"]
    table = rows()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = namespace(Path(folder))
        for call, expected in table:
            if only and not any(word in call for word in only):
                continue
            did, wrong = fails(call, expected, names)
            if verbose:
                print(
                    f"{call}\n    {'WRONG: ' + wrong if wrong else 'right'}: {did}", file=sys.stderr
                )
            if wrong:
                problems.append(f"{call}: {wrong}: {did}")
    print(json.dumps({"rows": len(table), "problems": problems}))


if __name__ == "__main__":
    main()
