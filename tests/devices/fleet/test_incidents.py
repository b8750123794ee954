"""Incidents are counted by reason, bounded, added up over processes, and logged now and then."""

import pickle

import pytest

from devices.fleet.incidents import LOG_EVERY_S, OTHER, REASONS, IncidentRecorder
from devices.fleet.metrics import FleetSnapshot


def test_processes_add_up() -> None:
    recorders = [IncidentRecorder(), IncidentRecorder()]
    for number, recorder in enumerate(recorders):
        recorder.record_refused("gps", "quota exceeded (0x97)", 5)
        recorder.record_takeover(f"gps-{number}")
        recorder.record_takeover(f"gps-{number}")
        recorder.record_server_disconnect("session taken over (0x8E)")
        recorder.record_ignored("retained command")
    snapshots = [pickle.loads(pickle.dumps(FleetSnapshot(incidents=one.incidents.copy()))) for one in recorders]
    recorders[0].record_ignored("retained command")
    total = FleetSnapshot.total(snapshots)
    assert total.refused == 10
    assert total.incidents.to_json() == {
        "server_disconnects": {"session taken over (0x8E)": 2},
        "ignored": {"retained command": 2},
        "takeovers": {"events": 4, "devices": 2, "examples": ["gps-0", "gps-1"]},
    }


def test_reasons_that_a_broker_makes_up_are_bounded() -> None:
    recorder = IncidentRecorder()
    for number in range(10 * REASONS):
        recorder.record_refused("gps", f"reason {number}")
        recorder.record_server_disconnect(f"reason {number}")
    for counts in (recorder.incidents.by_reason(), recorder.incidents.server_disconnects):
        assert counts.total() == 10 * REASONS
        assert len(counts) == REASONS + 1
        assert counts[OTHER] == 9 * REASONS


def test_a_sort_of_incident_is_logged_once_in_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    recorder = IncidentRecorder(lambda: now)
    for _ in range(100):
        recorder.record_refused("gps", "not authorized (0x87)")
    recorder.record_refused("bme280", "not authorized (0x87)")
    now = LOG_EVERY_S
    recorder.record_refused("gps", "not authorized (0x87)")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("the broker refuses messages") == 3
