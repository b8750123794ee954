"""Prints what pysparkplug says as a host and as a node: topics and payloads in hexadecimal."""

import json
import sys

from pysparkplug import DataType, MessageType, Metric, NBirth, NCmd, NData, Topic

said = []


def say(what, payload):
    topic = Topic(group_id="plant", message_type=what, edge_node_id="n1")
    said.append([str(topic), payload.encode().hex()])


def metric(name, datatype, value):
    return Metric(timestamp=1790000000000, name=name, datatype=datatype, value=value)


say(MessageType.NCMD, NCmd(1790000000000, (metric("Node Control/Rebirth", DataType.BOOLEAN, True),)))
say(MessageType.NCMD, NCmd(1790000000000, (metric("Node Control/Scan Rate", DataType.INT64, 5000),)))
born = (metric("temperature_c", DataType.DOUBLE, 20.5), metric("count", DataType.UINT32, 4_000_000_000))
say(MessageType.NBIRTH, NBirth(1790000000000, 0, (metric("bdSeq", DataType.INT64, 0), *born)))
say(MessageType.NDATA, NData(1790000000000, 1, born))
json.dump(said, sys.stdout)
