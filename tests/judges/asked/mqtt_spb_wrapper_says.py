"""Prints what mqtt-spb-wrapper says as a device that is born and then measures: payloads in hexadecimal."""

import json
import sys

from mqtt_spb_wrapper.spb_base import SpbEntity

entity = SpbEntity("plant", "n1", "d1")
entity.data.set_value("temperature_c", 20.5)
entity.data.set_value("state", "open")
birth = entity.serialize_payload_birth()
entity.data.set_value("temperature_c", 21.0)
data = entity.serialize_payload_data()
json.dump([["spBv1.0/plant/DBIRTH/n1/d1", birth.hex()], ["spBv1.0/plant/DDATA/n1/d1", data.hex()]], sys.stdout)
