"""The cost model beside programs that others wrote, on the same layers, array, memories and unit costs.

Each tool runs by a script that needs nothing of this project (``run_*.py``: a problem as JSON in, results as JSON out),
so that it may live in an environment of its own. What came back is kept in ``records``, with our figures of the same
day: tests/reports/test_crosscheck.py fails when the model has moved since. docs/crosschecks.md explains the tables.
"""
