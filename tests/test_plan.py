"""The plan on paper: it needs more for more, and its page shows what it prints."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plan import PORTS, Machine, main, plan

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
MACHINE = Machine(cores=32, memory_gib=128, load=0.6)
NEEDS = (
    "fleet_processes",
    "fleet_machines",
    "brokers",
    "broker_machines",
    "bridge_members",
    "machines",
    "messages_per_s",
)


@given(st.integers(1, 10**8), st.integers(1, 10**7), st.floats(0.1, 86_400))
def test_more_devices_need_no_less(devices: int, more: int, every_s: float) -> None:
    few, many = (asdict(plan(count, every_s, MACHINE)) for count in (devices, devices + more))
    assert [name for name in NEEDS if many[name] < few[name]] == []
    assert many["cost"] is None


@given(st.integers(1, 10**8), st.floats(0.1, 86_400))
def test_a_larger_machine_is_needed_no_more_often(devices: int, every_s: float) -> None:
    large = Machine(cores=64, memory_gib=512, load=0.6)
    assert plan(devices, every_s, large).machines <= plan(devices, every_s, MACHINE).machines


def test_behind_one_address_a_machine_has_an_address_for_each_range_of_ports() -> None:
    made = plan(10_000_000, 60, MACHINE, broker_addresses=1)
    most = made.addresses_a_machine * made.fleet_machines * PORTS
    assert most - made.fleet_machines * PORTS < 10_000_000 <= most
    assert plan(10_000_000, 60, MACHINE).addresses_a_machine == 1


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    command = re.search(r"^python -m benchmarks\.plan (.*)$", text, re.MULTILINE)
    shown = re.search(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert command
    assert shown
    assert main(command[1].split()) == 0
    assert capsys.readouterr().out == shown[1]


def test_a_price_makes_a_cost(capsys: pytest.CaptureFixture[str]) -> None:
    main(["1000", "--every", "10", "--machine-hour", "0.5", "--hours", "4", "--json"])
    made = json.loads(capsys.readouterr().out)
    assert made["cost"] == made["machines"] * 2.0


@pytest.mark.parametrize(
    "wrong",
    ["0 --every 1", "5.5 --every 1", "5 --every x", "5 --every nan", "5", "5 --every 1 --load 2", "1e13 --every 1"],
)
def test_what_cannot_be_is_refused_in_a_sentence(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong.split())
    assert ended.value.code == 2
    assert re.search(r"give a |are required: --every", capsys.readouterr().err)
