"""The command line: `mpn-lab tasks`, `mpn-lab train`, `mpn-lab evaluate`, `mpn-lab plot`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import Field, ValidationError

from mpn_lab.tasks.catalog import TaskDescription, describe_task, trainable_tasks
from mpn_lab.training.config import TrainConfig
from mpn_lab.training.dqn import train
from mpn_lab.training.resume import resume
from mpn_lab.training.files import RunError
from mpn_lab.training.run import Run, load_run


def _parse_kwargs(words: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs; a VALUE is read as JSON where it is JSON (True and False too)."""
    kwargs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r} is not of the form KEY=VALUE, such as dt=20.")
        try:
            kwargs[key] = json.loads({"True": "true", "False": "false"}.get(value, value))
        except json.JSONDecodeError:
            kwargs[key] = value
    return kwargs


TaskKwargs = Annotated[
    dict[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="KEY=VALUE",
        instance_from_str=_parse_kwargs,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda kwargs: [f"{k}={json.dumps(v)}" for k, v in kwargs.items()],
    ),
]


class TrainArguments(TrainConfig):
    """Train an MPN (or another core) by replaying whole trials, or resume a run."""

    task: tyro.conf.Positional[str] = "DelayMatchSample-v0"
    """A neurogym id; `mpn-lab tasks` lists them."""
    task_kwargs: TaskKwargs = Field(default_factory=dict)
    """Arguments of the task, for example dt=20 use_expl_context=True."""
    out: Path | None = None
    """Folder of the run; default: runs/TASK-seedN."""
    resume: Path | None = None
    """Go on with this run, as it was configured; every other option is then ignored."""


def train_command(arguments: Annotated[TrainArguments, tyro.conf.arg(name="")]) -> None:
    """Train, or resume, and report the result beside the ideal observer's."""
    if arguments.resume is not None:
        run = resume(arguments.resume)
    else:
        config = TrainConfig(**arguments.model_dump(exclude={"out", "resume"}))
        run = train(config, arguments.out)
    _report(run, trials=1000, seed=0, as_json=False)
    print(f"run: {run.path}")


def evaluate_command(
    run: tyro.conf.Positional[Path],
    trials: int = 1000,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Evaluate a run on fresh greedy trials, beside the ideal observer on the same trials.

    Args:
        run: the run folder.
        trials: how many trials.
        seed: fixes the trials.
        json: print one JSON object and nothing else.
    """
    _report(load_run(run), trials, seed, json)


def plot_command(run: tyro.conf.Positional[Path], trial: int = 0) -> None:
    """Leave two pictures in a run's folder: its learning curve, and one trial from inside.

    Args:
        run: the run folder.
        trial: which of 100 fresh greedy trials to show, at the moment of its response.
    """
    from mpn_lab.analysis import hidden_order, pca, record  # slow to import, and not for training
    from mpn_lab.plotting import draw_training, draw_trial, style

    opened = load_run(run)
    trials = record(opened, trials=100, seed=0)
    moment = float((int(trials["length"].sel(trial=trial)) - 1) * trials.attrs["dt"])
    components = pca(trials, "M" if "M" in trials else "h")
    with style():
        figures = {
            "learning_curve.png": draw_training(opened.metrics)[0],
            "trial.png": draw_trial(trials, components, trial, moment, order=hidden_order(trials))[
                0
            ],
        }
        for name, figure in figures.items():
            figure.savefig(opened.path / name)
            print(f"picture: {opened.path / name}")


def tasks_command(task: tyro.conf.Positional[str] = "", trials: int = 100) -> None:
    """List what can be trained: channels, actions, periods, trial length, dt, ceilings, traps.

    Args:
        task: only this one; default: all.
        trials: trials to sample of each.
    """
    for name in [task] if task else trainable_tasks():
        print(_describe(describe_task(name, trials=trials)), flush=True)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `mpn-lab`; errors end it with one sentence and exit code 1."""
    commands: dict[str, Callable[..., None]] = {
        "train": train_command,
        "evaluate": evaluate_command,
        "plot": plot_command,
        "tasks": tasks_command,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="mpn-lab", args=args)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        sys.exit(f"error: {where} is {first['input']!r}: {first['msg']}")
    except (ValueError, RunError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: `mpn-lab train --resume RUN` goes on from the last checkpoint")


def _report(run: Run, trials: int, seed: int, as_json: bool) -> None:
    result = run.evaluate(trials=trials, seed=seed)
    if as_json:
        print(json.dumps(result.model_dump()))
        return
    low, high = result.accuracy_ci95
    print(f"{run.config.task}: {result.trials} fresh greedy trials")
    print(f"  accuracy        {result.accuracy:.4f}   (95 % interval {low:.4f} to {high:.4f})")
    if result.ideal_accuracy is not None:
        print(f"  ideal observer  {result.ideal_accuracy:.4f}   on the same trials")
        print(f"  ratio           {result.ratio:.4f}")
    print(f"  mean return     {result.mean_return:.4f}")


def _describe(task: TaskDescription) -> str:
    periods = ", ".join(f"{name} {ms:.0f}" for name, ms in task.periods_ms.items()) or "none"
    low, mean, high = task.steps
    length = f"{low} steps" if low == high else f"{low} to {high} steps (mean {mean:.0f})"
    ceilings = [
        f"{name} {value:.3f}"
        for name, value in (("ideal", task.ideal_accuracy), ("oracle", task.oracle_accuracy))
        if value is not None
    ]
    lines = [
        task.task,
        f"  channels  {len(task.channels)}: {_shorten(task.channels)}",
        f"  actions   {len(task.actions)}: {_shorten(task.actions)}",
        f"  periods   {periods}   (mean ms)",
        f"  length    {length} of {task.dt:.0f} ms",
        f"  accuracy  {', '.join(ceilings) or 'no ground truth: look at the return'}",
    ]
    if task.warning:
        lines.append(f"  warning   {task.warning}")
    return "\n".join(lines)


def _shorten(names: list[str], most: int = 8) -> str:
    return ", ".join(names) if len(names) <= most else ", ".join([*names[:most], "..."])
