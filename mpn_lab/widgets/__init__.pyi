from .base import Explorer
from .staleness_explorer import StalenessExplorer
from .training_monitor import TrainingMonitor
from .trial_explorer import TrialExplorer

__all__ = ["Explorer", "StalenessExplorer", "TrainingMonitor", "TrialExplorer"]
