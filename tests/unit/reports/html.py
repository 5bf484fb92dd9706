"""A page as a reader finds it: its elements, and whether it is whole."""

from html.parser import HTMLParser

_VOID = ("meta", "link", "img", "br", "hr", "input")
_REFERENCES = ("src", "srcset", "href", "action", "data", "poster")


class Page(HTMLParser):
    """Reads a page; an end tag without its start, or the other way round, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a start tag."""
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element of SVG that ends at once."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Take an end tag."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All words of the page."""
        return " ".join(" ".join(self.words).split())

    @property
    def ids(self) -> list[str]:
        """All ids."""
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]

    def check(self) -> None:
        """Assert that the page needs nothing else, runs nothing, and says in words what it draws."""
        names = {name for name, _ in self.elements}
        assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
        references = [
            str(attributes[name]) for _, attributes in self.elements for name in _REFERENCES if name in attributes
        ]
        assert references
        assert all(reference.startswith("#") and reference[1:] in self.ids for reference in references)
        assert not [name for _, attributes in self.elements for name in attributes if name.startswith("on")]
        assert len(self.ids) == len(set(self.ids))
        for drawing in self.all("svg"):
            assert drawing["role"] == "img"
            assert len(drawing["aria-label"] or "") > 30
