"""The command line `mpn-lab`: tasks, train, train-supervised, resume, evaluate, plot, check."""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, Field

import mpn_lab
from mpn_lab.checks import reason
from mpn_lab.command_line import parse
from mpn_lab.loading import NotJSON, parse_json, shorten
from mpn_lab.tasks.catalog import TaskDescription, describe_task, trainable_tasks
from mpn_lab.training.check import check_run
from mpn_lab.training.config import SequenceConfig, SupervisedConfig, TrainConfig
from mpn_lab.training.dqn import train
from mpn_lab.training.fields import ConfigError, Count
from mpn_lab.training.files import RunError
from mpn_lab.training.resume import resume
from mpn_lab.training.run import Run, load_run
from mpn_lab.training.signals import stop_at_signals
from mpn_lab.training.supervised import train_supervised

PLOTTED = 100  # trials that `plot` records; it draws one of them


def _parse_pairs(words: list[str]) -> dict[str, Any]:
    """Parse KEY=VALUE pairs; a VALUE that is valid JSON (or True, False or None) is decoded."""
    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r} is not of the form KEY=VALUE; write it as {key or 'dt'}=1.")
        if key in pairs:
            raise ValueError(f"{key} is given twice in {' '.join(words)}; give it once.")
        try:
            python = {"True": "true", "False": "false", "None": "null"}
            pairs[key] = parse_json(python.get(value, value))
        except NotJSON:
            pairs[key] = value
        except ValueError as error:
            raise ValueError(
                f"{shorten(word)} cannot be the value of an argument: {error}."
            ) from None
    return pairs


_PAIRS = tyro.constructors.PrimitiveConstructorSpec(
    nargs="*",
    metavar="KEY=VALUE",
    instance_from_str=_parse_pairs,
    is_instance=lambda value: value is None or isinstance(value, dict),
    str_from_instance=lambda pairs: [f"{k}={json.dumps(v)}" for k, v in (pairs or {}).items()],
)
_NONE = tyro.conf.arg(help_behavior_hint="(default: none)")
Pairs = Annotated[dict[str, Any], _PAIRS, _NONE]
Task = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")]
RunFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]

Modules = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        name="import",
        metavar="MODULE",
        help_behavior_hint="(default: none)",
        help="Modules to import first, which register your own tasks, observers or cores.",
    ),
]


class _Arguments(BaseModel):
    """The arguments that both training commands take besides their configuration."""

    task: Task = "DelayMatchSample-v0"
    """Id of the task; `mpn-lab tasks` lists the tasks."""
    task_kwargs: Pairs = Field(default_factory=dict)
    """Arguments of the task, for example dt=20 use_expl_context=True."""
    core_options: Pairs = Field(default_factory=dict)
    """Options of the core, for example update=presynaptic lam_max=0.9; the core checks them."""
    out: Annotated[str | None, tyro.conf.arg(metavar="{None}|PATH")] = None  # a Path hides ""
    """Folder of the run; default: runs/TASK-seedN (supervised: runs/TASK-supervised-seedN)."""
    modules: Modules = ()
    device: str = "cpu"
    """Device of the network: cpu, auto (a GPU if available), or any device name of torch."""
    threads: Count = 1
    """Number of torch threads."""

    def settings(self) -> dict[str, Any]:
        """Return the fields of the configuration."""
        return self.model_dump(exclude={"out", "modules", "device", "threads"})


class _SequenceArguments(SequenceConfig):
    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ConfigError as error:  # tyro would print it without the word sequence
            sys.exit(f"error: sequence.{error}")


class TrainArguments(_Arguments, TrainConfig):
    """Train a network by deep Q-learning on whole replayed trials."""

    sequence: _SequenceArguments = Field(default_factory=_SequenceArguments)
    """Options of replay="sequence"."""


class SupervisedArguments(_Arguments, SupervisedConfig):
    """Train a network on the correct actions by supervised learning."""

    stop: Annotated[dict[str, Any] | None, _PAIRS, _NONE] = None  # type: ignore[assignment]
    """Rules for stopping early, the fields of `StopConfig`, for example accuracy=0.98
    min_updates=500."""


def train_command(arguments: Annotated[TrainArguments, tyro.conf.arg(name="")]) -> None:
    """Train a network by deep Q-learning, and report the result beside the ideal observer's."""
    a = arguments
    _import(a.modules)
    config = TrainConfig(**a.settings())
    with stop_at_signals():
        run = train(config, a.out, device=a.device, threads=a.threads)
    _report_training(run, a.device, a.threads)


def train_supervised_command(
    arguments: Annotated[SupervisedArguments, tyro.conf.arg(name="")],
) -> None:
    """Train a network on the correct actions, and report the result beside the ideal observer's."""
    a = arguments
    _import(a.modules)
    config = SupervisedConfig(**a.settings())
    with stop_at_signals():
        run = train_supervised(config, a.out, device=a.device, threads=a.threads)
    _report_training(run, a.device, a.threads)


def resume_command(
    run: RunFolder,
    modules: Modules = (),
    device: str | None = None,
    threads: int | None = None,
) -> None:
    """Resume a run of either kind from its last checkpoint, with its saved configuration.

    Args:
        run: the run folder.
        device: device of the network; default: that of the run so far.
        threads: number of torch threads; default: that of the run so far.
    """
    _import(modules)
    with stop_at_signals():
        resumed = resume(run, device=device, threads=threads)
    _report_training(resumed, device, threads or 1)


def evaluate_command(
    run: RunFolder,
    trials: int = 1000,
    seed: int = 0,
    json: bool = False,
    modules: Modules = (),
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Evaluate a run on fresh greedy trials, beside the ideal observer on the same trials.

    Args:
        run: the run folder.
        trials: number of trials.
        seed: seed of the trials.
        json: print a single JSON object; unknown values are null.
        device: device of the network: cpu, auto (a GPU if available), or any device name of torch.
        threads: number of torch threads.
    """
    _import(modules)
    _report(load_run(run), trials, seed, json, device=device, threads=threads)


def plot_command(
    run: RunFolder,
    trial: int = 0,
    modules: Modules = (),
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Draw two pictures into a run's folder: its learning curve and the inside of one trial.

    Args:
        run: the run folder.
        trial: which of 100 fresh greedy trials to show, at its last step.
        device: device of the network: cpu, auto (a GPU if available), or any device name of torch.
        threads: number of torch threads.
    """
    _import(modules)
    if not 0 <= trial < PLOTTED:
        raise ValueError(f"trial is {trial}; expected 0 to {PLOTTED - 1}.")
    from mpn_lab.analysis import hidden_order, pca, record  # slow to import; training needs none
    from mpn_lab.plotting import draw_training, draw_trial, style
    from mpn_lab.plotting.style import save_figure

    opened = load_run(run)
    trials = record(opened, trials=PLOTTED, seed=0, device=device, threads=threads)
    time = float((int(trials["length"].sel(trial=trial)) - 1) * trials.attrs["dt"])
    components, order = pca(trials, "M" if "M" in trials else "h"), hidden_order(trials)
    with style():
        figures = {
            "learning_curve.png": draw_training(opened.metrics)[0],
            "trial.png": draw_trial(trials, components, trial, time, order=order)[0],
        }
        for name, figure in figures.items():
            path = save_figure(figure, opened.folder / name, run_identity=opened.identity)
            print(f"picture: {path}")


def check_command(run: RunFolder, repair: bool = False, modules: Modules = ()) -> None:
    """Check that a run is there, whole and consistent; exit code 1 if something is wrong.

    Args:
        run: the run folder.
        repair: write the last checkpoint and metrics.csv anew if they are missing or damaged, and
            delete what a killed process left half written.
    """
    _import(modules)
    report = check_run(run, repair)
    print(report)
    if not report.ok:
        sys.exit(1)


def tasks_command(
    task: Task = "",
    all: bool = False,
    trials: int = 100,
    modules: Modules = (),
) -> None:
    """List the tasks, or describe one: channels, actions, periods, length, best accuracy, pitfalls.

    Any other id registered with gymnasium, such as CartPole-v1, can also be described and trained.

    Args:
        task: the task to describe.
        all: describe all tasks, which takes a minute or two.
        trials: number of trials to sample for a description.
    """
    _import(modules)
    if not task and not all:
        print("\n".join(trainable_tasks()))
        return
    for name in [task] if task else trainable_tasks():
        print(_describe(describe_task(name, trials=trials)), flush=True)


_COMMANDS: dict[str, Callable[..., None]] = {
    "tasks": tasks_command,
    "train": train_command,
    "train-supervised": train_supervised_command,
    "resume": resume_command,
    "evaluate": evaluate_command,
    "plot": plot_command,
    "check": check_command,
}
_ABOUT = (
    "Train multi-plasticity networks on cognitive tasks and look inside them. "
    "`mpn-lab COMMAND --help` lists the options of a command; `mpn-lab --version` prints the "
    "version."
)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line `mpn-lab`; an error ends it with one sentence and exit code 1.

    Words that are no arguments of a command end it with one sentence and exit code 2. SIGINT and
    SIGTERM end it with exit code 130 and 143; a training ends after its current round.
    """
    args = sys.argv[1:] if args is None else list(args)
    if args == ["--version"]:
        print(f"mpn-lab {mpn_lab.__version__}")
        return
    try:
        parse(_COMMANDS, args, prog="mpn-lab", description=_ABOUT)()
    except MemoryError as error:
        sys.exit(
            f"error: the memory does not suffice ({reason(error)}); choose smaller sizes, such as "
            "--buffer-size or --batch-size."
        )
    except (ValueError, RunError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as error:
        print(str(error) or "Interrupted.", file=sys.stderr)
        sys.exit(128 + getattr(error, "number", signal.SIGINT))


def _import(modules: Sequence[str]) -> None:
    """Import modules by name, also from the current folder, as `python -m` does.

    Raises:
        ValueError: an import fails.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in modules:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(
                f"--import {name}: expected the name of a module, such as my_tasks for the file "
                "my_tasks.py (give the task or run before the options)."
            )
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing is not None and (name == missing or name.startswith(f"{missing}.")):
                raise ValueError(
                    f"--import {name}: the module {missing!r} is neither in this folder nor "
                    "installed; run the command in the folder that contains it, or install it."
                ) from error
            last = traceback.extract_tb(error.__traceback__)[-1]
            first_line = str(error).strip().split("\n")[0]
            raise ValueError(
                f"--import {name}: the import fails with {type(error).__name__}: {first_line} "
                f"({Path(last.filename).name}, line {last.lineno}); fix the error and try again."
            ) from error


def _report_training(run: Run, device: str | None, threads: int) -> None:
    _report(run, trials=1000, seed=0, as_json=False, device=device, threads=threads)
    print(f"run: {run.path}")


def _report(
    run: Run, trials: int, seed: int, as_json: bool, *, device: str | None, threads: int
) -> None:
    result = run.evaluate(trials=trials, seed=seed, device=device, threads=threads)
    if as_json:
        print(result.model_dump_json())  # nan as null
        return
    print(f"{run.config.task}: {result.trials} fresh greedy trials")
    if math.isnan(result.accuracy):
        print(f"  mean return     {result.mean_return:.4f}")
        print("  accuracy        unknown: the task does not report which trials are correct")
        return
    low, high = result.accuracy_ci95
    known = "" if math.isnan(low) else f"   (95 % interval {low:.4f} to {high:.4f})"
    some = "" if result.judged == result.trials else f", of {result.judged} trials that were judged"
    print(f"  accuracy        {result.accuracy:.4f}{known}{some}")
    if result.ceiling_accuracy is not None:
        hint = ", follows the ground truth" if result.ceiling == "oracle" else ""
        print(f"  {result.ceiling:<15} {result.ceiling_accuracy:.4f}   on the same trials{hint}")
    if result.ratio is not None:
        print(f"  ratio           {result.ratio:.4f}")
    print(f"  mean return     {result.mean_return:.4f}")


def _describe(task: TaskDescription) -> str:
    periods = ", ".join(f"{name} {ms:.0f}" for name, ms in task.periods_ms.items()) or "none"
    low, mean, high = task.steps
    length = f"{low} steps" if low == high else f"{low} to {high} steps (mean {mean:.0f})"
    duration = "" if task.dt == 1 else f" of {task.dt:.0f} ms"  # 1: unknown
    ceilings = {"oracle (follows the ground truth)": task.oracle_accuracy}
    if task.ceiling in ("ideal observer", "best known"):
        ceilings = {task.ceiling: task.ceiling_accuracy} | ceilings
    known = [f"{name} {value:.3f}" for name, value in ceilings.items() if value is not None]
    lines = [
        task.task,
        f"  channels  {len(task.channels)}: {_shorten(task.channels)}",
        f"  actions   {len(task.actions)}: {_shorten(task.actions)}",
        f"  periods   {periods}   (mean ms)",
        f"  length    {length}{duration}",
        f"  ceiling   {', '.join(known) or 'none known: use the return'}",
        *(f"  fault     {fault}" for fault in task.known_faults),
    ]
    if task.warning:
        lines.append(f"  warning   {task.warning}")
    return "\n".join(lines)


def _shorten(names: list[str], most: int = 8) -> str:
    return ", ".join(names) if len(names) <= most else ", ".join([*names[:most], "..."])


if __name__ == "__main__":
    main()
