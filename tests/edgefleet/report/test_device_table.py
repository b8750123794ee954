"""The table of a run's devices: a row each, for whoever analyses it."""

from pathlib import Path

import pyarrow.parquet as pq

from edgefleet.report.device_table import save_device_table
from tests.run_records import small_record


def test_the_table_of_devices_has_a_row_each(tmp_path: Path) -> None:
    path = save_device_table(small_record(), tmp_path)
    assert path is not None
    rows = pq.read_table(path).to_pylist()
    assert [row["device_id"] for row in rows] == ["g-1", "b-1", "p-1"]
    assert rows[1] == {
        "device_id": "b-1", "kind": "bme280", "site": "s", "boot": 7, "first_seq": 3, "last_seq": 9, "emitted": 7,
        "acknowledged": 0, "sent_qos0": 0, "refused": 0, "dropped": 0, "unsent": 2, "reconnects": 0
    }  # fmt: skip
    assert rows[2]["first_seq"] is None
