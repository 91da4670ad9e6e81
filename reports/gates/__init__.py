"""Energy of the engine's blocks in standard cells, from gate-level simulation of whole inferences.

``python -m reports.gates NAME --node NM --liberty FILE ...`` makes the constant set ``reports/constants/NAME-NM.json``.
"""
