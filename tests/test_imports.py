"""Imports run one way: a room of the package knows those before it in this list, never those after it."""

import ast
from pathlib import Path

import ecgvlm

PACKAGE = Path(ecgvlm.__file__).parent
# What reads a page comes first; nothing of it knows how models are trained, benchmarked or served.
ORDER = (
    "errors", "atomic", "machine", "memory", "processes", "together", "quantile", "compiled", "filters",
    "sessions", "record", "labels", "vocabulary", "measure", "simulate", "files", "paper", "digitize",
    "judge", "words", "printed", "sheets", "reader", "__init__", "show", "worker", "instruct", "bench",
    "train", "serve", "batch", "watch", "mcp", "cli", "__main__",
)  # fmt: skip


def imported(path: Path) -> set[str]:
    """The rooms of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name == "ecgvlm" and isinstance(node, ast.ImportFrom):
                rooms = {alias.name for alias in node.names}
                found |= {room for room in rooms if room in ORDER} or {"__init__"}
            elif name and name.startswith("ecgvlm."):
                found.add(name.split(".")[1])
    return found


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def test_no_room_imports_one_that_comes_after_it():
    uphill = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in PACKAGE.rglob("*.py")
        for other in imported(path)
        if ORDER.index(other) > ORDER.index(room(path))
    ]
    assert not uphill


def test_no_two_files_of_a_room_import_each_other():
    imports = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        imports[name] = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    circles = [(a, b) for a in imports for b in imports[a] if b in imports and a in imports[b] and a < b]
    assert not circles
