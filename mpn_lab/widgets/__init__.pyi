from .explorer import Explorer
from .monitor import TrainingMonitor
from .staleness import StalenessExplorer
from .trial import TrialExplorer

__all__ = ["Explorer", "StalenessExplorer", "TrainingMonitor", "TrialExplorer"]
