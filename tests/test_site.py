"""The site is built from docs/ as it is; a broken link, a wrong anchor and a page in no menu end the build."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.fixtures import unavailable

ROOT = Path(__file__).parents[1]
NOT_DOCUMENTS = shutil.ignore_patterns(
    ".git", ".venv", "*_cache", ".hypothesis", "__pycache__", "build", "dist", "runs"
)

pytestmark = pytest.mark.documents


def build(repository: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        unavailable("these tests need MkDocs Material: pip install 'edgefleet[site]'")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", site],
        cwd=repository,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_every_page_is_on_the_site_and_needs_no_other_one(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path)
    assert built.returncode == 0, built.stderr
    assert {path.stem for path in tmp_path.glob("*.html")} >= {path.stem for path in ROOT.glob("docs/*.md")} | {"index"}
    assert (tmp_path / "repository" / "bridge.yaml.html").is_file()
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page.read_text(encoding="utf-8")), page


FAULTS = {
    "[a](missing.md)": "contains a link 'missing.md', but the target is not found",
    "[a](../missing.yaml)": "contains a link '../missing.yaml', but the target is not found",
    "[a](fleet.md#nowhere)": "'fleet.md' does not contain an anchor '#nowhere'",
    "[a](../CONTRIBUTING.md#nowhere)": "CONTRIBUTING.md' does not contain an anchor '#nowhere'",
    "[a](/fleet.md)": "contains an absolute link '/fleet.md'",
}
"""What a page may say -> what MkDocs then warns of."""


def test_a_broken_link_a_wrong_anchor_and_a_page_in_no_menu_end_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_DOCUMENTS)
    orphan = copy / "docs" / "orphan.md"
    orphan.write_text("\n\n".join(["# In no menu", "`[a](in-code.md)`", "```\n[a](in-code.md)\n```", *FAULTS]))
    built = build(copy, tmp_path / "site")
    assert built.returncode == 1
    assert 'not included in the "nav" configuration:\n  - orphan.md' in built.stderr
    for said in FAULTS.values():
        assert said in built.stderr
    # Each of them is a warning, and nothing else is; what stands in code is no link.
    assert built.stderr.count("WARNING") == 1 + len(FAULTS)
