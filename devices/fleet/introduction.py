"""How a device introduces itself to the broker."""

from devices.device import Device
from devices.firmware.device import Firmware
from edgewire.messages import Channel
from edgewire.mqtt import SessionConfig, Will


def last_will(device: Device, firmware: Firmware) -> Will:
    """What the broker publishes when the device goes without a goodbye."""
    # Copied: what orjson returns holds on to 4 KiB of memory, however short it is.
    payload = bytes(bytearray(firmware.status("offline", None)))
    return Will(topic=device.topic(Channel.STATUS), payload=payload, qos=1, retain=True)


def session_config(device: Device, firmware: Firmware, *, keep_alive_s: int, session_expiry_s: int,
                   username: str | None, password: bytes | None) -> SessionConfig:  # fmt: skip
    """How this device introduces itself to the broker."""
    return SessionConfig(
        client_id=device.device_id,
        clean_start=False,
        keep_alive_s=keep_alive_s,
        session_expiry_s=session_expiry_s,
        # Devices publish and take the odd command: a small window and packet size keep tens of thousands cheap.
        receive_maximum=8,
        maximum_packet_size=64 * 1024,
        username=username,
        password=password,
        will=last_will(device, firmware),
    )
