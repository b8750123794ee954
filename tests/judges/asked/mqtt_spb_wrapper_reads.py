"""Prints what mqtt-spb-wrapper reads in messages of edge nodes, given as topics and payloads in hexadecimal."""

import json
import sys

from mqtt_spb_wrapper import SpbTopic
from mqtt_spb_wrapper.spb_base import SpbEntity

found = []
for text, payload in json.load(sys.stdin):
    topic = SpbTopic(text)
    entity = SpbEntity(topic.group_name, topic.eon_name, topic.eon_device_name)
    read = entity.deserialize_payload_birth(bytes.fromhex(payload))
    metrics = {one.get("name") or one.get("alias"): one.get("value") for one in read.get("metrics", [])}
    found.append([topic.message_type, read.get("seq"), metrics])
json.dump(found, sys.stdout)
