from .monitor import TrainingMonitor
from .staleness import StalenessExplorer
from .trial import TrialExplorer

__all__ = ["StalenessExplorer", "TrainingMonitor", "TrialExplorer"]
