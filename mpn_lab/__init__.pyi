from .analysis.schema import RecordError
from .analysis.record_file import load_record, save_record
from .analysis.recording import record
from .analysis.stale_states import staleness
from .networks.recurrent import GRU, LSTM, RNN
from .networks.mpn import MPN
from .networks.qnetwork import QNetwork
from .replay.trials import TrialBatch, TrialReplayBuffer
from .tasks.catalog import TaskDescription, describe_task, trainable_tasks
from .tasks.ideal import ideal_accuracy, ideal_actions
from .tasks.rollout import Trial, collect_trials
from .tasks.trial_env import TrialEnv
from .training.config import MPNConfig, StopConfig, SupervisedConfig, TrainConfig, paper_config
from .training.evaluate import Evaluation, evaluate
from .training.files import RunError
from .training.dqn import resume, train
from .training.loss import compute_td_loss_trial
from .training.run import Run, load_run
from .training.supervised import train_supervised
from .widgets.staleness import StalenessExplorer
from .widgets.monitor import TrainingMonitor
from .widgets.trial import TrialExplorer

__all__ = [
    "GRU",
    "LSTM",
    "MPN",
    "RNN",
    "Evaluation",
    "MPNConfig",
    "QNetwork",
    "RecordError",
    "Run",
    "RunError",
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
    "collect_trials",
    "compute_td_loss_trial",
    "describe_task",
    "evaluate",
    "ideal_accuracy",
    "ideal_actions",
    "load_record",
    "load_run",
    "paper_config",
    "record",
    "resume",
    "save_record",
    "staleness",
    "train",
    "train_supervised",
    "trainable_tasks",
]
