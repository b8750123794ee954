"""Entry points of other packages: a broken one is a sentence that names it, and in nobody's way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewire.plugins import load_plugins

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a package that is installed: its module, and its entry points in a group."""

    def make(name: str, module: str, **points: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [f"{point} = {target}" for point, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[test.numbers]", *lines, ""]))
        (folder / f"{name}.py").write_text(module)
        monkeypatch.syspath_prepend(folder)

    return make


def test_what_packages_bring_is_found(install: Install) -> None:
    install("plain_numbers", "ONE = 1\nTWO = 2\n", one="plain_numbers:ONE", two="plain_numbers:TWO")
    found = load_plugins("test.numbers", int)
    assert {plugin.name: plugin.value for plugin in found.loaded} == {"one": 1, "two": 2}
    assert found.faults == {}
    assert found.loaded[0].said == "plug-in 'one' of plain_numbers 1.2 (test.numbers)"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import nowhere_at_all", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("def broken(:", "cannot be loaded: SyntaxError"),
        ("OTHER = 1", "cannot be loaded: AttributeError"),
        ("X = 'text'", "is a str, and has to be a int"),
    ],
)
def test_a_broken_one_is_named_and_the_others_are_there(install: Install, module: str, said: str) -> None:
    name = f"broken_numbers_{abs(hash(module))}"
    install("good_numbers", "ONE = 1\n", one="good_numbers:ONE")
    install(name, module, bad=f"{name}:X")
    found = load_plugins("test.numbers", int)
    assert [plugin.value for plugin in found.loaded] == [1]
    assert found.faults["bad"].startswith(f"plug-in 'bad' of {name} 1.2 (test.numbers) {said}")


def test_a_name_that_is_taken_is_a_fault(install: Install) -> None:
    install("more_numbers", "X = 7\nY = 7\nZ = 8\n", x="more_numbers:X", y="more_numbers:Y", z="more_numbers:Z")
    found = load_plugins("test.numbers", int).named(str, ["8"])
    assert found.values == {"7": 7}
    assert "'7' is of another plug-in" in found.faults["y"]
    assert "'8' comes with edgefleet" in found.told("z")
