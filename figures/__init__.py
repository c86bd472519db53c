"""The figures of Aitken & Mihalas (eLife 2023;12:e83035), one folder each.

A figure's folder holds `measure.py` (which networks it needs, what is measured in them), `plot.py`,
`caption.md`, `values.csv` (all measured values), the figure itself, and `test_claims.py`, which
tests what the caption claims on these values. `python -m figures` makes them all.
"""
