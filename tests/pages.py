"""A report's page as its reader finds it, and names that such a page must show as nothing but text."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = ("<script>alert(1)</script>", "$\\frac{$", "猫 🐈", 'a"onerror="x\n' + "long " * 100)


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
