"""The references in docs/ are what the models say, and what the documents name is there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["scenario.md", "bridge.md"])
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
