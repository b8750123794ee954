"""Writes what ChirpStack 4 says of devices of one application, and of the downlinks that are asked for.

After ChirpStack's documentation (integrations, events; MQTT): see `chirpstack`. The codes of its log are from memory.
"""

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import orjson

from edgewire.dialects.base import DialectError
from edgewire.dialects.chirpstack import ChirpStackOptions
from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, MessageTemplate, Publication
from edgewire.dialects.lorawan_encoder import (
    FREQUENCY_HZ,
    GATEWAY_ID,
    PORT,
    SNR_DB,
    LorawanEncoder,
    downlink,
    frame_of,
    spoken_values,
    text_of,
)
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import read_object

_DATA_RATE = 5
_LONGEST_ID = 100


class ChirpStackEncoder(LorawanEncoder):
    """Writes uplinks with the values of a reading, and says of a downlink that it was sent, or in the log why not."""

    def __init__(self, options: ChirpStackOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without numbers."""
        self._application, self._eui = options.application, options.dev_eui
        self._root = f"application/{self._application}/device/{self._eui}"
        payload = {
            "time": "timestamp",
            "deviceInfo": self._info("{id}", text_of(self._application), text_of(self._eui)),
            "dr": {"const": _DATA_RATE},
            "fCnt": "seq",
            "fPort": {"const": PORT},
            "object": spoken_values(kind, "ChirpStack"),
            "rxInfo": [{"gatewayId": {"const": GATEWAY_ID}, "rssi": "rssi_dbm", "snr": {"const": SNR_DB}}],
            "txInfo": {"frequency": {"const": FREQUENCY_HZ}},
        }
        super().__init__(MessageTemplate(f"{self._root}/event/up", payload, rewrite=_as_sent))

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topic on which downlinks are asked for."""
        return (self._topic("command/down", names),)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics on which is told what has become of them."""
        return tuple(self._topic(f"event/{what}", names) for what in ("txack", "ack", "log"))

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what a downlink asks for; None for one of another device."""
        try:
            asked = read_object(payload)
        except DialectError:
            return None
        eui = asked.get("devEui")
        if not isinstance(eui, str) or eui.lower() != fill_names(self._eui, names).lower():
            return None
        item = asked.get("id")
        if not isinstance(item, str) or not 0 < len(item) <= _LONGEST_ID:
            item = _made_id(payload)
        kept = {"item": item, "confirmed": asked.get("confirmed") is True}
        return downlink("down", asked.get("object"), orjson.dumps(kept).decode())

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield that it was sent and, where that was asked for, acknowledged; or what was wrong with it."""
        kept = orjson.loads(command.argument)
        if outcome.error is not None:
            said: dict[str, Any] = {"level": "ERROR", "code": "DOWNLINK_CODEC", "description": outcome.error}
            yield self._told("log", said, names, outcome)
            return
        sent = {"queueItemId": kept["item"], "gatewayId": GATEWAY_ID}
        yield self._told("txack", sent, names, outcome)
        if kept["confirmed"]:
            yield self._told("ack", {"queueItemId": kept["item"], "acknowledged": True}, names, outcome)

    @staticmethod
    def _info(device: str, application: object, eui: object) -> dict[str, Any]:
        return {"applicationId": application, "deviceName": device, "devEui": eui}

    def _topic(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self._root}/{below}", names)

    def _told(self, what: str, said: dict[str, Any], names: DeviceNames, outcome: CommandOutcome) -> Publication:
        info = self._info(names["id"], *(fill_names(one, names) for one in (self._application, self._eui)))
        body = {"time": outcome.status.get("timestamp"), "deviceInfo": info, **said}
        return Publication(self._topic(f"event/{what}", names), orjson.dumps(body), retain=False, qos=0)


def _made_id(data: bytes) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(data).digest()[:16], version=4))


def _as_sent(payload: bytes) -> bytes:
    """Return an uplink with its frame and an id, and without a counter that is zero."""
    body = orjson.loads(payload)
    body["object"], body["data"] = frame_of(body["object"])
    if not body["fCnt"]:
        del body["fCnt"]
    of_frame = f"{body['deviceInfo']['devEui']} {body['time']}"  # a device sends one at a time
    return orjson.dumps({"deduplicationId": _made_id(of_frame.encode()), **body})
