"""Campaigns add up in docs/proof.md, target by target, and nothing else of the page changes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.account import BEGIN, DOCUMENT, END, TargetAccount, account_table, add_to_account, read_accounts
from tests.fuzz.campaign import FuzzOutcome
from tests.fuzz.targets import TARGETS

OUTCOME = FuzzOutcome("mqtt", 7, 1_500_000, 400, 20, 45, 5400.0)


def page(folder: Path) -> Path:
    path = folder / "proof.md"
    path.write_text(f"before\n{BEGIN}\n\n{END}\nafter\n")
    return path


def test_campaigns_add_up_and_a_finding_stays_counted(tmp_path: Path) -> None:
    path = page(tmp_path)
    add_to_account([OUTCOME, replace(OUTCOME, target="cbor", branches=10)], path)
    add_to_account([replace(OUTCOME, branches=390, fault="raised: ValueError")], path)
    add_to_account([replace(OUTCOME, cpu_s=0.6, branches=500)], path)
    text = path.read_text()
    found = read_accounts(text)
    assert found["mqtt"][:-1] == (3, 180.01, 4_500_000, 500, 1)
    assert found["cbor"][:-1] == (1, 90.0, 1_500_000, 10, 0)
    assert found["scenario"] == TargetAccount()
    assert "| together | 4 | 270.01 | 6,000,000 | 510 | 1 | |" in text
    assert (text.startswith("before\n"), text.endswith("\nafter\n")) == (True, True)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    accounts = {"mqtt": TargetAccount(1234, 5678.25, 10**9, 2345, 6, "2026-11-28"), "gone": TargetAccount(1, 1.5)}
    path = tmp_path / "proof.md"
    path.write_text("\n".join([BEGIN, *account_table(accounts), END]))
    found = read_accounts(path.read_text())
    assert {name: found[name] for name in accounts} == accounts
    assert found.keys() == {*TARGETS, "gone"}


def test_the_page_has_a_line_for_every_target() -> None:
    assert {*TARGETS} <= read_accounts(DOCUMENT.read_text(encoding="utf-8")).keys()


@pytest.mark.parametrize("dry", [False, True])
def test_the_command_adds_to_the_account_unless_it_is_told_not_to(
    dry: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[FuzzOutcome] = []
    monkeypatch.setattr(command, "add_to_account", added.extend)
    monkeypatch.setattr(command, "fuzz", lambda name, *_: replace(OUTCOME, target=name))
    monkeypatch.setattr(sys, "argv", ["fuzz", "--only", "cbor", "--seed", "7", *(["--dry"] if dry else [])])
    assert command.main() == 0
    assert [one.target for one in added] == ([] if dry else ["cbor"])
