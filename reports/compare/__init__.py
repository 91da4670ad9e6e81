"""One network across coat counts, beside stored weights on the same engine: rows, figures and a page."""

from reports.compare.rows import Comparison, Row, compare

__all__ = ["Comparison", "Row", "compare"]
