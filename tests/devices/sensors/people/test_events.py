"""Types of visits by a user's module, and visits that are under way when the counters are powered on."""

import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT

NOON = parse_ms("2026-03-04T12:00:00Z")
HOUR_MS = 3_600_000
MODULE = """
from devices.sensors.people.events import VisitEvent, random_visit_event

def long_stay(visits):
    return visits.minutes >= 30, {"stay_minutes": visits.minutes.round(1)}

EVENT_TYPES = [random_visit_event("purchase", chance=0.4, amount_eur=(2, 80)), VisitEvent("long_stay", long_stay)]
"""


def rows(settings: str = "", *, powered_on_ms: int = NOON, folder: Path | None = None) -> list[dict[str, Any]]:
    scenario = Scenario.model_validate(
        {"devices": [{"kind": "people", "count": 2, "interval": "1m", "settings": {"event_module": settings or None}}]}
    )
    if folder:
        scenario = scenario.model_copy(update={"devices": tuple(group.beside(folder) for group in scenario.devices)})
    batch = Timeline(scenario, powered_on_ms).batch(NOON, NOON + 2 * HOUR_MS)
    return [orjson.loads(payload) for payload in batch.payload]


def crossings(found: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (row["device_id"], row["event_type"], row["time"]) for row in found if row["event_type"] in ("entry", "exit")
    }


def test_who_is_inside_at_power_on_has_an_entry() -> None:
    found = rows()
    single = crossings(found)
    sessions = [row for row in found if row["event_type"] == "foot_traffic"]
    for row in sessions:
        assert (row["device_id"], "entry", row["entry_time"]) in single
        assert (row["device_id"], "exit", row["exit_time"]) in single
    early = [row for row in found if row["event_type"] == "entry" and parse_ms(row["time"]) < NOON]
    assert len(early) > 10
    told = [(row["device_id"], parse_ms(row["timestamp"]) - NOON) for row in early]
    assert max(late_ms for _, late_ms in told) <= 5000
    for device in ("people-0001", "people-0002"):
        turns = [late_ms for name, late_ms in told if name == device]
        assert {later - earlier for earlier, later in itertools.pairwise(turns)} == {100}, "one after the other"
    for device in ("people-0001", "people-0002"):
        assert [row["seq"] for row in found if row["device_id"] == device] == list(
            range(sum(row["device_id"] == device for row in found))
        )
    # Counters that ran before have told these entries then; of all that comes later nothing is different.
    always = [row for row in rows(powered_on_ms=NOON - 48 * HOUR_MS) if row["event_type"] != "count"]
    counted = [row for row in found if row["event_type"] != "count" and row not in early]
    number = {"boot", "seq"}
    assert [{k: v for k, v in row.items() if k not in number} for row in counted] == [
        {k: v for k, v in row.items() if k not in number} for row in always
    ]


def test_the_counts_of_an_interval_are_not_of_those_who_came_before() -> None:
    first = {row["device_id"]: row for row in reversed(rows()) if row["event_type"] == "count"}
    assert {row["entries"] <= 10 < row["occupancy"] for row in first.values()} == {True}


def test_a_module_tells_visits_apart(tmp_path: Path) -> None:
    (tmp_path / "visits.py").write_text(MODULE)
    plain, found = rows(), rows("visits.py", folder=tmp_path)
    sessions = [row for row in found if row["event_type"] == "foot_traffic"]
    for row in sessions:
        CONTRACT["people"].check(row)
        minutes = (parse_ms(row["exit_time"]) - parse_ms(row["entry_time"])) / 60_000
        assert ("long_stay" in row["events"]) == (minutes >= 30) == (row["stay_minutes"] is not None)
        assert ("purchase" in row["events"]) == (row["amount_eur"] is not None)
        assert row["amount_eur"] is None or 2 <= row["amount_eur"] <= 80
    share = sum("purchase" in row["events"] for row in sessions) / len(sessions)
    assert 0.3 < share < 0.5
    assert any("long_stay" in row["events"] for row in sessions)
    own = ("events", "amount_eur", "stay_minutes")
    assert [{k: v for k, v in row.items() if k not in own} for row in found] == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EVENT_TYPES = [1]", "EVENT_TYPES needs to be a list of VisitEvent"),
        ("x = 1", "has no EVENT_TYPES"),
        (MODULE.replace('"purchase"', '"Purchase"'), "'Purchase' is no name of a type of visit"),
        (MODULE.replace('"purchase"', '"long_stay"'), "each name once"),
        (MODULE.replace("amount_eur", "exit_time"), r"wrong\.py: .*'purchase' gives 'exit_time', a field that the"),
        (MODULE.replace("visits.minutes >= 30", "1 / 0"), r"wrong\.py: .*'long_stay' fails: ZeroDivisionError"),
        ("raise SystemExit(0)", r"wrong\.py: cannot be loaded: SystemExit"),
    ],
)
def test_a_module_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wrong.py").write_text(text)
    with pytest.raises(ConfigError, match=said):
        rows("wrong.py", folder=tmp_path)
