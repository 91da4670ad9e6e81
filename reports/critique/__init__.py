"""The critique, answered: supermasks beside small trained networks, pruned, quantised and entropy-coded, at equal
accuracy, in bytes, energy and area.

Trainings are those of ``golden.sweep critique``. What was measured of them is kept in ``record.json``; everything else
follows from it and the cost model. docs/critique.md has the tables, the picture and the conclusion.
"""
