"""The page of trained models: every number has a unit and a link to its source."""

import re

import pytest

from reports import page
from reports.coats import CoatRow
from tests.reports.numbers_on_pages import Page


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    rows = [CoatRow(model=f"fashion-n{coats}", coats=coats, density=.3, accuracy=accuracy, test_images=10_000,
                    simulated_accuracy=.9, images=4, bit_exact=True, weights=300_000, file_bytes=50_000,
                    mask_bytes=38_000 * coats, shannon_bytes=33_000, paper_bytes=41_000, fp32_bytes=1_200_000,
                    int8_bytes=300_000, cycles=47_936., utilisation=.87, weight_traffic=38_544., int8_traffic=300_000,
                    weight_stall=.01) for coats, accuracy in ((1, .9198), (3, .9295), (7, None))]
    page.write(path, "Topcoat: the cost of coats", [page.comparison(rows)])
    return path.read_text()


def test_every_number_has_a_unit_and_a_source(text):
    read = Page(text)
    assert read.naked == [] and read.checked == 3 * 13 - 1


@pytest.mark.parametrize("before, after", [
    (' data-unit="of images"', ""), ('<section id="source-sizes">', "<section>"),
    ('<span class="unit">times less</span>', ""), ("<h2>Coats", "<h2>7 coats"),
])
def test_the_check_finds_what_is_missing(text, before, after):
    broken, count = re.subn(re.escape(before), after, text)
    assert count and Page(broken).naked
