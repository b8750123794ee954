"""What comes of a fleet on brokers that are odd in one way each.

For each: nothing is thrown that nobody catches, no storm of connections, every message is accounted for, what is
missing fails the run, and what went wrong is counted under its reason.
"""

import asyncio

import pytest

from tests.devices.fleet.odd_brokers import CASES, DEVICES, MOST_DIALS, Case, Outcome, run_all

MOST_RECONNECTS_PER_S = 2.5 * DEVICES


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    outcomes, thrown = asyncio.run(run_all(CASES))
    assert thrown == [], "nobody catches it"
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_odd_broker(case: Case, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[case.name]
    record, totals = outcome.record, outcome.record.totals
    record.check()
    assert totals["emitted"] >= DEVICES * 10
    parts = ("acknowledged", "sent_qos0", "refused", "dropped", "unsent")
    assert totals["emitted"] == sum(totals[part] for part in parts), totals
    assert (totals["acknowledged"] == totals["emitted"]) or not case.is_fine, totals
    assert case.seen(outcome.incidents), outcome.incidents
    if totals["acknowledged"] < totals["emitted"]:
        assert record.problems, "something is missing, and the run has not failed"
        assert "Nothing was the limit" not in record.verdict
    assert "unaccounted" not in record.problems, record.problems
    assert not (case.is_fine and record.problems), record.problems
    assert outcome.exit_code == (0 if totals["acknowledged"] == totals["emitted"] and not record.problems else 1)
    assert case.is_fine or outcome.reconnects_per_s <= MOST_RECONNECTS_PER_S
    for device, dials in outcome.broker.dials.items():
        assert dials <= (case.dials if case.is_fine else MOST_DIALS), f"{device} dialled {dials} times"
    # A status a connection, and the goodbye; readings once a connection at the most.
    for (device, channel), count in outcome.broker.published.items():
        if channel == "status":
            assert count <= outcome.broker.dials[device] + 1
