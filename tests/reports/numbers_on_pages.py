"""A reader of pages that finds numbers without a unit or without a source."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks units and sources while it reads. ``naked`` are numbers without unit or without source."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors = set(re.findall(r' id="([^"]+)"', text))
        self.naked: list[str] = []
        self.checked = 0
        self.tags: list[str] = []
        self.stack: list[tuple[str, dict]] = []
        self.columns: list[dict] = []
        self.cell = -1
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag in VOID:
            return
        if tag == "table":
            self.columns = []
        elif tag == "tr":
            self.cell, self.row = -1, {}
        elif tag in ("td", "th"):
            self.cell += 1
        if tag == "th":
            head = {"unit": attributes.get("data-unit"), "source": None, "text": ""}
            if attributes.get("scope") == "col":
                self.columns.append(head)
            else:
                self.row = head
        elif tag == "td" and "data-unit" in attributes:
            self.row["unit"] = attributes["data-unit"]
        elif tag == "a" and self._within("th"):
            (self.columns[-1] if self._within("thead") else self.row)["source"] = attributes["href"]
        self.stack.append((tag, attributes))

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1][0] == tag, f"</{tag}> closes {self.stack[-1:]}"
        self.stack.pop()

    def _within(self, *tags: str) -> bool:
        return any(tag in tags for tag, _ in self.stack)

    def _known(self, link: str | None) -> bool:
        return bool(link) and link.startswith("#source-") and link[1:] in self.anchors

    def handle_data(self, data):
        if self._within("th") and self._within("thead"):
            self.columns[-1]["text"] += data
        if not re.search(r"\d", data) or self._within("svg", "style", "title", "h1", "code", "th"):
            return
        if any(tag == "section" and attributes.get("id", "").startswith("source-") for tag, attributes in self.stack):
            return
        self.checked += 1
        if self._within("td"):
            found = self.columns[self.cell] if self.columns else self.row
            shown = not self.columns or (found["unit"] or "no unit") in found["text"]
            good = found["unit"] and self._known(found["source"]) and shown
        else:
            marked = [attributes for _, attributes in self.stack if "data-unit" in attributes]
            good = marked and marked[-1]["data-unit"] in data and self._known(marked[-1].get("href"))
        if not good:
            self.naked.append(data)
