from .base import Explorer
from .training_monitor import TrainingMonitor
from .trial_explorer import TrialExplorer

__all__ = ["Explorer", "TrainingMonitor", "TrialExplorer"]
