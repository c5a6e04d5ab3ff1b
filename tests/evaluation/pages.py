"""Reading a report's page as a browser would: what it fetches, what closes, what has no name."""

from html.parser import HTMLParser


class Checker(HTMLParser):
    """Collects what a page would fetch, its ids and links, and that elements close in order."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids, self.links, self.unnamed = [], [], set(), [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        for name in ("src", "href", "srcset", "action"):
            if name in found:
                (self.links if tag == "a" else self.fetched).append(found[name])
        if tag in ("img", "audio", "svg") and not (found.get("alt") or found.get("aria-label")):
            self.unnamed.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
