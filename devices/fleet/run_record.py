"""What one device says of itself when the run is over."""

from collections.abc import Iterator

from devices.fleet.device_client import DeviceClient
from edgewire.run_record import DeviceRecord


def device_records(connection: DeviceClient) -> Iterator[DeviceRecord]:
    """The record of its messages: one a boot that had some, or the only one."""
    firmware = connection.firmware
    firmware.on_uncertain(connection.unacknowledged())
    boots = list(firmware.all_counters())
    for account in [one for one in boots if one.first_seq is not None] or boots[-1:]:
        yield DeviceRecord(
            device_id=firmware.device_id,
            kind=connection.device.kind,
            site=connection.device.site,
            boot=account.boot,
            first_seq=account.first_seq,
            last_seq=account.last_seq,
            acknowledged=account.acknowledged,
            # Of the device: they stand with its last boot.
            reconnects=max(0, connection.reconnects) if account is firmware.account else 0,
            dropped=account.dropped.as_list(),
            unsent=sorted(firmware.outbox.seqs(account.boot).as_list() + account.uncertain.as_list()),
        )
