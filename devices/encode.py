"""Columns to payload bytes: the hot path between the sensors and the wire.

No model object is built here; a contract test proves that what this writes is what `edgewire.messages` accepts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.sensors.base import Columns


def timestamps(times_ms: NDArray[np.int64]) -> list[str]:
    """ISO 8601 UTC with milliseconds of each instant."""
    texts: list[str] = np.datetime_as_string(times_ms.astype("datetime64[ms]"), unit="ms", timezone="UTC").tolist()
    return texts


def encode(
    device_ids: Sequence[str],
    times_ms: NDArray[np.int64],
    boot: int,
    seqs: NDArray[np.int64],
    columns: Columns,
) -> list[bytes]:
    """One JSON payload a row: who, when, which, then the sensor's columns in their order."""
    names = ("device_id", "timestamp", "boot", "seq", *columns)
    rows = zip(
        device_ids,
        timestamps(times_ms),
        [boot] * len(device_ids),
        seqs.tolist(),
        *(column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()),
        strict=True,
    )
    dumps = orjson.dumps
    return [dumps(dict(zip(names, row, strict=True))) for row in rows]


def encode_fields(
    device_ids: Sequence[str],
    times_ms: NDArray[np.int64],
    boot: int,
    seqs: NDArray[np.int64],
    fields: Sequence[dict[str, Any]],
) -> list[bytes]:
    """As `encode`, for rows whose fields differ from one another."""
    heads = zip(device_ids, timestamps(times_ms), seqs.tolist(), fields, strict=True)
    dumps = orjson.dumps
    return [
        dumps({"device_id": device_id, "timestamp": timestamp, "boot": boot, "seq": seq, **rest})
        for device_id, timestamp, seq, rest in heads
    ]
