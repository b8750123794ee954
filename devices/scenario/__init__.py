"""The scenario file, and the devices that it makes.

`scenario` is the file as pydantic models, checked as it is read, `devices` expands its entries into single devices and
cuts them into shards, `shard_devices` finds those of one; `speech` says how they speak where that is not the message
contract. All are plain data; what happens with the devices is computed in `devices.timeline`.
"""
