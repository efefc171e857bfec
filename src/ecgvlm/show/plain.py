"""Foreign texts, fit for a terminal."""


def plain(text: str) -> str:
    """A text without what a terminal obeys: escape sequences stay visible."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
