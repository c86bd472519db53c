from .behaviour import performance_by, psychometric, signed_coherence
from .decoding import decode, decode_across_times
from .dynamics import attractor, fixed_points
from .linearisation import flow_field, linearise
from .operators import dynamical_distance
from .population import (
    accumulated_evidence,
    effective_weights,
    hidden_order,
    modulation_change,
    participation_ratio,
    pca,
    selectivity,
    variance_explained,
)
from .record_file import load_record, save_record
from .recording import record
from .schema import RecordError
from .similarity import condition_averages, similarity
from .stale_states import by_position, staleness
from .theory import first_order, first_order_error

__all__ = [
    "RecordError",
    "accumulated_evidence",
    "attractor",
    "by_position",
    "condition_averages",
    "decode",
    "decode_across_times",
    "dynamical_distance",
    "effective_weights",
    "first_order",
    "first_order_error",
    "fixed_points",
    "flow_field",
    "hidden_order",
    "linearise",
    "load_record",
    "modulation_change",
    "participation_ratio",
    "pca",
    "performance_by",
    "psychometric",
    "record",
    "save_record",
    "selectivity",
    "signed_coherence",
    "similarity",
    "staleness",
    "variance_explained",
]
