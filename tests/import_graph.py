"""Who imports whom in our packages, read from their sources: circles, and arrows that run upwards.

`python -m tests.import_graph [FOLDER]` prints the circles of the checkout in FOLDER, and exits with 1 if there are any.

An import counts wherever it stands, also in a function or under `TYPE_CHECKING`: a circle that is hidden is a circle.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

PACKAGES = ("edgewire", "devices", "bridge", "edgefleet")

Graph = Mapping[str, Set[str]]
"""Module -> the modules of ours that it imports; a package's name stands for its `__init__`."""


def read_graph(root: Path) -> dict[str, set[str]]:
    """Read the import graph of the checkout in `root`."""
    paths = {
        module_name(path.relative_to(root)): path for package in PACKAGES for path in (root / package).rglob("*.py")
    }
    return {
        name: _targets(ast.parse(path.read_text(encoding="utf-8")), name, path, paths.keys())
        for name, path in paths.items()
    }


def module_name(path: Path) -> str:
    """Return the dotted name of a source file, relative to the folder that its package stands in."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def parents(module: str) -> Iterator[str]:
    """Yield the packages that a module stands in, the innermost first."""
    while module := module.rpartition(".")[0]:
        yield module


def find_circles(graph: Graph) -> list[list[str]]:
    """Find the modules that import each other in a circle, the largest circle first (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            start = stack.index(module)
            circle = sorted(stack[start:])
            del stack[start:]
            if len(circle) > 1:
                circles.append(circle)

    for module in graph:
        if module not in index:
            visit(module)
    return sorted(circles, key=len, reverse=True)


def _targets(tree: ast.Module, name: str, path: Path, modules: Set[str]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names = set(_imported_names(tree, package))
    found: set[str] = set()
    for imported in names:
        module = imported
        while module and module not in modules:
            module = module.rpartition(".")[0]
        if module:
            # Importing a.b.c runs the __init__ of a and of a.b first.
            found |= {module, *parents(module)}
    # Those that the importing module stands in itself have begun to run before it; naming one is another matter.
    named = {imported.rpartition(".")[0] for imported in names}
    return found - {name} - (set(parents(name)) - named)


def _imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def main(folder: str = ".") -> int:
    """Print the circles of the checkout in `folder`; return how the process is to exit."""
    circles = find_circles(read_graph(Path(folder)))
    for circle in circles:
        print(f"a circle of {len(circle)}: {', '.join(circle)}")
    print(f"{len(circles)} import circles")
    return 1 if circles else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
