"""Says which parts of a fleet its run record does not account for, in sentences. Pure."""

from collections.abc import Sequence

from edgewire.clock import iso_ms
from edgewire.run_record import RunRecord

IDS_SHOWN = 5
SHARDS_SHOWN = 20


def find_gaps(record: RunRecord) -> list[str]:
    """Return a sentence for each part of the fleet of which it is not known what became of all its messages."""
    found = []
    if record.state == "running":
        found.append(
            f"the record is a checkpoint of {iso_ms(record.stopped_ms)}: whatever ran the fleet was killed, or still "
            "runs; what was sent afterwards is not accounted for"
        )
    for part in record.unaccounted:
        index, count = part.shard
        found.append(f"{part.name} (shard {index}/{count}, {_devices(part.device_ids)}): {part.reason}")
    told = {part.reason for part in record.unaccounted}
    found += [failure for failure in record.failures if failure not in told]
    missing = record.missing_shards()
    for index, count in missing[:SHARDS_SHOWN]:
        size = record.devices_in((index, count))
        its = "" if size is None else f" with its {_count(size)}"
        found.append(f"shard {index}/{count}{its} is not accounted for: give the folder of its record too")
    if len(missing) > SHARDS_SHOWN:
        found.append(f"{len(missing) - SHARDS_SHOWN:,} more shards of {missing[0][1]:,} are not accounted for either")
    if absent := _absent_devices(record):
        found.append(f"{_count(absent)} of the scenario: in no record")
    return found


def _absent_devices(record: RunRecord) -> int:
    """Return how many devices of the shards that are there the record says nothing of."""
    expected = [record.devices_in(shard) for shard in record.shards]
    known = {device.device_id for device in record.devices}.union(*(part.device_ids for part in record.unaccounted))
    return max(0, sum(size for size in expected if size is not None) - len(known))


def _count(devices: int) -> str:
    return "1 device" if devices == 1 else f"{devices:,} devices"


def _devices(device_ids: Sequence[str]) -> str:
    more = ", …" if len(device_ids) > IDS_SHOWN else ""
    return f"{_count(len(device_ids))}: {', '.join(device_ids[:IDS_SHOWN])}{more}"
