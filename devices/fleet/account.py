"""What one device says of itself when the run is over."""

from devices.fleet.connection import DeviceConnection
from edgewire.runrecord import DeviceRecord


def account(connection: DeviceConnection, boot: int) -> DeviceRecord:
    """The record of its messages."""
    firmware = connection.firmware
    unsent = firmware.outbox.seqs()
    for seq in connection.unacknowledged():
        unsent.add(seq)
    return DeviceRecord(
        device_id=firmware.device_id,
        kind=connection.device.kind,
        site=connection.device.site,
        boot=boot,
        first_seq=firmware.first_seq,
        last_seq=firmware.last_seq,
        acknowledged=connection.acknowledged,
        reconnects=max(0, connection.reconnects),
        dropped=firmware.outbox.dropped.as_list(),
        unsent=unsent.as_list(),
    )
