"""Area of engines: cells from synthesis of our Verilog, kept as points; memories from CACTI; a model between them."""

from reports.area.engine import AreaReport, area, suited

__all__ = ["AreaReport", "area", "suited"]
