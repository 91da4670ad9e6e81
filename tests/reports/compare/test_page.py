"""The page of a comparison: every number has a unit and a link to its source, and nothing is fetched from elsewhere."""

import re

import pytest

from arch.config import EngineConfig
from reports.area.points import targets
from reports.compare import compare
from reports.compare.page import write
from tests.reports.numbers_on_pages import Page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    write(path, compare("fashion", (1, 3), config=EngineConfig.preset("edge"), targets=targets()))
    return path


@pytest.mark.parametrize("node", [7, 130])
def test_measured_cells_fill_a_page_as_well(tmp_path, node):
    write(tmp_path, compare("fashion", (1,), config=EngineConfig.preset("edge"), node_nm=node))
    text = (tmp_path / "index.html").read_text()
    assert Page(text).naked == [] and f"-{node}</code>, {node} nm: " in text
    # Every bar of the breakdown, with clock and DRAM on top, has a colour of its own.
    legend = (tmp_path / "breakdown.svg").read_text()
    assert all(f"<!-- {part} -->" in legend for part in ("array", "clock", "DRAM"))


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "index.html").read_text()


def test_every_number_has_a_unit_and_a_source(text):
    page = Page(text)
    assert page.naked == [] and page.checked > 200


@pytest.mark.parametrize("before, after", [
    (r'<th scope="col" data-unit="[^"]+"><a href="#source-time"', '<th scope="col"><a href="#source-time"'),
    (r'<a href="#source-time"', '<a href="#source-tide"'), (r'<section id="source-energy">', "<section>"),
    (r'<span class="unit">fJ per operation</span>', ""), (r"<h2 id=\"time\">", '<p>97.0</p><h2 id="time">'),
    (r'<td data-unit="MHz, assumed">', "<td>"), (r'data-unit="times">', '>'),
])
def test_the_check_finds_what_is_missing(text, before, after):
    broken, count = re.subn(before, after, text)
    assert count and Page(broken).naked


def test_every_link_within_the_page_arrives(text):
    links = re.findall(r'href="#([^"]+)"', text)
    assert len(links) > 50 and set(links) <= Page(text).anchors


def test_nothing_is_fetched(text, folder):
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r'\bsrc=|url\((?!#)|@import|http-equiv', text)
    assert page.tags.count("svg") == 10
    for name in re.findall(r'href="([a-z-]+\.(?:png|svg))"', text):
        assert (folder / name).stat().st_size > 1000


def test_figures_take_the_ink_of_the_page(text):
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert all("currentColor" in figure and "#22252a" not in figure and "#ffffff" not in figure for figure in figures)


def test_saved_figures_stand_alone(folder):
    for path in folder.glob("*.svg"):
        drawing = path.read_text()
        assert drawing.startswith("<svg") and "currentColor" not in drawing and "var(" not in drawing


def test_accuracy_is_never_guessed(text):
    rows = {row[0]: row[1] for row in re.findall(
        r'<th scope="row">(1 coat|3 coats|int8|int4|1 bit)</th>(.*?)</tr>', text.split('id="overview"')[1].split(
            'class="settings"')[0])}
    first = {label: re.findall(r"<td>(.*?)</td>", cells)[0] for label, cells in rows.items()}
    assert first == {"1 coat": "91.98", "3 coats": "92.95", "int8": "93.93",
                     **dict.fromkeys(("int4", "1 bit"), "not measured")}


@pytest.mark.parametrize("anchor, needed", [
    ("energy", ("HBM3, 4.05 pJ/bit", "LPDDR4, 8 pJ/bit", "from 20 pJ/bit", "single-ported", "words of 64 bits")),
    ("area", ("tables of <code>ans</code>", "a read and a write port", "With the path of coats")),
    ("convention", ("Hiddenite: 28.7", "BrainTTA: 35 fJ/op (binary), 67 fJ/op (ternary), 405 fJ/op (int8)")),
    ("traffic", ("<code>--batch</code>",)),
])
def test_what_a_source_must_say(text, anchor, needed):
    entry, = re.findall(f'<section id="source-{anchor}">(.*?)</section>', text, re.DOTALL)
    assert [part for part in needed if part not in entry] == []


def test_layers_of_every_row(text):
    layers = text.split('<details id="layers">')[1].split("<h2")[0]
    tables = re.findall(r"<details><summary><code>(.*?)</code></summary>(.*?)</details>", layers, re.DOTALL)
    assert [label for label, _ in tables] == ["1 coat", "3 coats", "int8", "int4", "1 bit"]
    assert all(table.count('<th scope="row">') == 10 for _, table in tables)
