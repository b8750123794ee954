"""Prints what pysparkplug reads in messages of edge nodes, given as topics and payloads in hexadecimal."""

import json
import sys

from pysparkplug import Topic

births = {}
found = []
for text, payload in json.load(sys.stdin):
    topic = Topic.from_str(text)
    whose = topic.edge_node_id, topic.device_id
    read = topic.message_type.payload.decode(bytes.fromhex(payload), birth=births.get(whose))
    if topic.message_type.endswith("BIRTH"):
        births[whose] = read
    metrics = {one.name: one.value for one in getattr(read, "metrics", ())}
    found.append([str(topic.message_type.value), getattr(read, "seq", None), metrics])
json.dump(found, sys.stdout)
