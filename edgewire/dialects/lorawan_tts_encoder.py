"""Writes what The Things Stack 3 says of devices of one application, and of the downlinks that are asked for.

After The Things Stack's documentation (MQTT server; data formats): see `lorawan_tts`.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from edgewire.dialects.base import DialectError
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
from edgewire.dialects.lorawan_tts import TheThingsStackOptions
from edgewire.dialects.payload_template import fill_names
from edgewire.dialects.values import read_object

_MOST_DOWNLINKS = 20


class TheThingsStackEncoder(LorawanEncoder):
    """Writes uplinks with the values of a reading, and says of a downlink that it was queued, sent or has failed."""

    def __init__(self, options: TheThingsStackOptions, kind: str) -> None:
        """Raises `DialectError` for a kind without numbers."""
        self._root = f"v3/{options.application}/devices/{{id}}"
        self._application, self._eui = options.application.partition("@")[0], options.dev_eui
        heard = {
            "gateway_ids": {"gateway_id": {"const": "emulated"}, "eui": {"const": GATEWAY_ID.upper()}},
            "rssi": "rssi_dbm",
            "snr": {"const": SNR_DB},
        }
        payload = {
            "end_device_ids": self._ids("{id}", text_of(self._application), text_of(self._eui)),
            "received_at": "timestamp",
            "uplink_message": {
                "f_port": {"const": PORT},
                "f_cnt": "seq",
                "decoded_payload": spoken_values(kind, "The Things Stack"),
                "rx_metadata": [heard],
                "settings": {"frequency": {"const": str(FREQUENCY_HZ)}},
                "received_at": "timestamp",
            },
        }
        super().__init__(MessageTemplate(f"{self._root}/up", payload, rewrite=_as_sent))

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics on which downlinks are asked for."""
        return self._topic("down/push", names), self._topic("down/replace", names)

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return the topics on which is told what has become of them."""
        return tuple(self._topic(f"down/{what}", names) for what in ("queued", "sent", "ack", "failed"))

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return what the last of the downlinks asks for; None for what is no list of them."""
        try:
            asked = read_object(payload).get("downlinks")
        except DialectError:
            return None
        if not isinstance(asked, list) or not 1 <= len(asked) <= _MOST_DOWNLINKS:
            return None
        if not all(isinstance(one, dict) for one in asked):
            return None
        return downlink(topic.rpartition("/")[2], asked[-1].get("decoded_payload"), orjson.dumps(asked).decode())

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> Iterator[Publication]:
        """Yield for each downlink that it was queued, sent and, where that was asked for, acknowledged; or why not."""
        for one in orjson.loads(command.argument):
            if outcome.error is not None:
                failed = {"downlink": one, "error": {"message_format": outcome.error}}
                yield self._told("failed", failed, names, outcome)
                continue
            yield self._told("queued", one, names, outcome)
            yield self._told("sent", one, names, outcome)
            if one.get("confirmed") is True:
                yield self._told("ack", one, names, outcome)

    @staticmethod
    def _ids(device: str, application: object, eui: object) -> dict[str, Any]:
        return {"device_id": device, "application_ids": {"application_id": application}, "dev_eui": eui}

    def _topic(self, below: str, names: DeviceNames) -> str:
        return fill_names(f"{self._root}/{below}", names)

    def _told(self, what: str, said: Any, names: DeviceNames, outcome: CommandOutcome) -> Publication:
        ids = self._ids(names["id"], *(fill_names(one, names) for one in (self._application, self._eui)))
        body = {"end_device_ids": ids, "received_at": outcome.status.get("timestamp"), f"downlink_{what}": said}
        return Publication(self._topic(f"down/{what}", names), orjson.dumps(body), retain=False, qos=0)


def _as_sent(payload: bytes) -> bytes:
    """Return an uplink with its frame, and without a counter that is zero."""
    body = orjson.loads(payload)
    uplink = body["uplink_message"]
    uplink["decoded_payload"], uplink["frm_payload"] = frame_of(uplink["decoded_payload"])
    if not uplink["f_cnt"]:
        del uplink["f_cnt"]
    return orjson.dumps(body)
