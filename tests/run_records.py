"""Run records for tests: of any devices, and a small one."""

from edgewire.run_record import DeviceRecord, RunRecord

STARTED_MS = 1_800_000_000_000
SIM_STARTED_MS = 1_700_000_000_000


def run_record(*devices: DeviceRecord, time_scale: float = 1.0) -> RunRecord:
    """Return a record of these devices."""
    return RunRecord(
        run_id="r-1",
        scenario="fleet.yaml",
        seed=1,
        broker="mqtt://127.0.0.1:1883",
        started_ms=STARTED_MS,
        stopped_ms=STARTED_MS + 60_000,
        sim_started_ms=SIM_STARTED_MS,
        time_scale=time_scale,
        devices=list(devices),
    )


def small_record() -> RunRecord:
    """Return a record of two devices of two kinds, with ten and five messages sent, and of one that never spoke."""
    return run_record(
        DeviceRecord(device_id="g-1", kind="gps", site="s", boot=7, first_seq=0, last_seq=9),
        DeviceRecord(device_id="b-1", kind="bme280", site="s", boot=7, first_seq=3, last_seq=9, unsent=[(8, 9)]),
        DeviceRecord(device_id="p-1", kind="people", site="s", boot=7),
    )
