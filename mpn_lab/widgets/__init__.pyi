from .explorer import Explorer
from .staleness import StalenessExplorer
from .monitor import TrainingMonitor
from .trial import TrialExplorer

__all__ = ["Explorer", "StalenessExplorer", "TrainingMonitor", "TrialExplorer"]
