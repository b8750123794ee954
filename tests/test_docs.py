"""The references in docs/ are what the models say, and what the documents name is there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.chaos.faults import FAULTS

ROOT = Path(__file__).parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCES = [
    "scenario.md",
    "bridge.md",
    "environment.md",
    "dialects.md",
    "platforms.md",
    "control.md",
    "learn.md",
]


def test_every_reference_is_compared() -> None:
    assert sorted(generator().PAGES) == sorted(REFERENCES)


@pytest.mark.parametrize("name", REFERENCES)
def test_references_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generator().PAGES[name](), "run make docs"


def test_references_name_every_key_of_a_kind() -> None:
    page = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")
    for key in (
        "seed",
        "broker",
        "time_scale",
        "sites",
        "devices",
        "interval",
        "qos",
        "temperature_c",
        "daily_customers",
    ):
        assert f"| `{key}` |" in page


@pytest.mark.parametrize("document", [path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (ROOT / document.parent / target).exists(), f"{document}: {target}"


def test_the_picture_of_the_architecture_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {"devices", "edgewire", "bridge", "edgefleet"}
    drawn: list[Path] = []
    package = ""
    for line in text[text.index("```mermaid") : text.index("## Four laws")].splitlines():
        package = line.split()[1] if line.strip().startswith("subgraph") else package
        if label := re.search(r"\(?\"(.+?)<br/>", line):
            drawn += [ROOT / package / path for path in re.findall(r"[\w/]+\.py|ingest/store/", label[1])]
    named = [
        ROOT / path for path in re.findall(r"`([a-z]+/[\w/.]+)`", text) if path.split("/")[0] in packages | {"tests"}
    ]
    assert len(drawn) > 15
    assert len(named) > 15
    assert [
        str(path)
        for path in (*drawn, *named)
        if "KIND" not in str(path) and "NAME" not in str(path) and not path.exists()
    ] == []


def missing_tests(text: str) -> list[str]:
    """Return those of the tests that a text names, as `FILE::TEST` below tests/, which there are not."""
    missing = []
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", text):
        file = ROOT / "tests" / path
        if not file.exists() or not re.search(rf"def {name}\(", file.read_text(encoding="utf-8")):
            missing.append(f"{path}::{name}")
    return missing


def test_each_fault_is_tried_by_what_the_table_says() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.partition("## Which fault is tried where")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert missing_tests(table) == []
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row.partition(" | ")[2])}
    known = {fault.name for fault in FAULTS}
    assert named <= known
    # Those of the network are named once for three links.
    links = ("reset-", "stall-", "half-open-", "delay-", "throttle-")
    assert {name for name in known if not name.startswith(links)} <= named
    assert all("`" in row.partition(" | ")[2] for row in rows), "each line names what tries it"


def test_what_security_names_is_tried() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [
        line for line in page.partition("## Who can reach what")[2].partition("\n## ")[0].splitlines() if "::" in line
    ]
    assert len(rows) > 10
    assert missing_tests("\n".join(rows)) == []
    assert all(row.rstrip("| ").endswith("`") for row in rows), "each line ends with a test"
