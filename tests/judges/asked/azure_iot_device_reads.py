"""Prints what the SDK of Azure IoT reads in topics and tokens of devices, and what it says itself."""

import json
import sys
from urllib.parse import quote

from azure.iot.device import Message
from azure.iot.device.common.auth.sastoken import get_sastoken_info_from_string
from azure.iot.device.common.auth.signing_mechanism import SymmetricKeySigningMechanism
from azure.iot.device.iothub.pipeline import mqtt_topic_iothub as topics

given = json.load(sys.stdin)
device = given["device"]
own = topics.get_telemetry_topic_for_publish(device, None)
assert given["telemetry"].startswith(own)
# What the SDK reads are messages to a device, whose bags are written alike.
message = Message("")
bound = topics.get_c2d_topic_for_subscribe(device).rstrip("#")
topics.extract_message_properties_from_topic(bound + given["telemetry"].removeprefix(own), message)
token = get_sastoken_info_from_string(given["token"])
resource = quote(given["resource"], safe="")
signature = SymmetricKeySigningMechanism(given["key"]).sign(f"{resource}\n{token['se']}")
named = Message("{}", content_encoding="utf-8", content_type="application/json")
named.custom_properties = given["properties"]
json.dump(
    {
        "custom": message.custom_properties,
        "content": [message.content_type, message.content_encoding],
        "token": [token["sr"] == resource, token["sig"] == quote(signature, safe="")],
        "said": topics.encode_message_properties_in_topic(named, own),
        "answer": topics.get_method_topic_for_publish(given["rid"], "200"),
        "method": [
            f(given["method"]) for f in (topics.get_method_name_from_topic, topics.get_method_request_id_from_topic)
        ],
        "twin": [
            topics.get_twin_topic_for_publish("GET", "/", "twin"),
            topics.get_twin_topic_for_publish("PATCH", "/properties/reported/", "reported"),
        ],
        "filters": [
            topics.get_c2d_topic_for_subscribe(device),
            topics.get_method_topic_for_subscribe(),
            topics.get_twin_response_topic_for_subscribe(),
            topics.get_twin_patch_topic_for_subscribe(),
        ],
    },
    sys.stdout,
)
