from .analysis.record_file import load_record, save_record
from .analysis.recording import record
from .analysis.schema import RecordError
from .analysis.stale_states import staleness
from .interventions import edits
from .interventions.counterfactuals import counterfactual
from .networks.mpn import MPN
from .networks.qnetwork import QNetwork
from .networks.recurrent import GRU, LSTM, RNN
from .networks.registry import CoreError, register_core
from .replay.trials import TrialBatch, TrialReplayBuffer
from .tasks.catalog import TaskDescription, describe_task, trainable_tasks
from .tasks.ideal import ideal_accuracy, ideal_actions, register_observer
from .tasks.rollout import Trial, collect_trials
from .tasks.trial_env import TrialEnv
from .training.check import RunReport, check_run
from .training.config import SequenceConfig, StopConfig, SupervisedConfig, TrainConfig, paper_config
from .training.dqn import train
from .training.evaluate import Evaluation, evaluate
from .training.fields import ConfigError
from .training.files import RunError
from .training.loss import compute_td_loss_trial
from .training.resume import resume
from .training.run import Run, load_run
from .training.supervised import train_supervised
from .widgets.monitor import TrainingMonitor
from .widgets.staleness import StalenessExplorer
from .widgets.trial import TrialExplorer

__version__: str

__all__ = [
    "GRU",
    "LSTM",
    "MPN",
    "RNN",
    "ConfigError",
    "CoreError",
    "Evaluation",
    "QNetwork",
    "RecordError",
    "Run",
    "RunError",
    "RunReport",
    "SequenceConfig",
    "StalenessExplorer",
    "StopConfig",
    "SupervisedConfig",
    "TaskDescription",
    "TrainConfig",
    "TrainingMonitor",
    "Trial",
    "TrialBatch",
    "TrialEnv",
    "TrialExplorer",
    "TrialReplayBuffer",
    "check_run",
    "collect_trials",
    "compute_td_loss_trial",
    "counterfactual",
    "describe_task",
    "edits",
    "evaluate",
    "ideal_accuracy",
    "ideal_actions",
    "load_record",
    "load_run",
    "paper_config",
    "record",
    "register_core",
    "register_observer",
    "resume",
    "save_record",
    "staleness",
    "train",
    "train_supervised",
    "trainable_tasks",
]
