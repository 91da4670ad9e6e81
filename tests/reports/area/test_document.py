from pathlib import Path

from arch.config import PRESETS
from reports.area import points
from reports.area.comparison import compare_coats, text_rows

DOCUMENT = Path(__file__).parents[3] / "docs" / "area.md"


def test_the_tables_of_the_document_are_what_the_command_shows():
    lines = {line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")}
    for target in points.targets():
        for preset in PRESETS:
            for cells in text_rows(compare_coats(preset, target)):
                assert f"| {' | '.join((preset, *cells))} |" in lines, f"{target}, {preset}: {cells}"
