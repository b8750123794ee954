"""Writes `devices.parquet` beside a run record: a row a device, for whoever asks questions with SQL or pandas."""

import importlib.util
from pathlib import Path

from edgewire import logs
from edgewire.errors import ConfigError
from edgewire.output import write_output
from edgewire.run_record import RunRecord, count_seqs

FILE_NAME = "devices.parquet"
log = logs.get("record")


def save_device_table(record: RunRecord, folder: Path) -> Path | None:
    """Write the table and return its path; None, and a word in the log, where pyarrow is not installed.

    Raises `ConfigError` where it cannot be written.
    """
    if importlib.util.find_spec("pyarrow") is None:
        log.info("no devices.parquet beside run.json: pip install 'edgefleet[export]' for it", folder=str(folder))
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    devices = record.devices
    names = ("device_id", "kind", "site", "boot", "first_seq", "last_seq", "emitted", "acknowledged", "sent_qos0")
    columns = {name: [getattr(device, name) for device in devices] for name in names}
    columns["refused"] = [count_seqs(device.refused_ranges) for device in devices]
    columns |= {name: [count_seqs(getattr(device, name)) for device in devices] for name in ("dropped", "unsent")}
    columns["reconnects"] = [device.reconnects for device in devices]
    texts = {"device_id", "kind", "site"}
    schema = pa.schema([(name, pa.string() if name in texts else pa.int64()) for name in columns])
    path = folder / FILE_NAME
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), content)
    try:
        write_output(path, content.getvalue().to_pybytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    return path
