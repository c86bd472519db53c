"""Trials recorded as labelled data, and what can be computed from a record."""
