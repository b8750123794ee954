"""BME280, a chip that measures air: `environment` (the air around it), `sensor` (readings), `chip` (its arithmetic).

`environment` (outdoors, and ranges that count in readings), `room` and `exposure` (physical time) -> `sensor` (offset,
warmth, lag, noise) -> `chip` (counts by the data sheet, and back). `registers` is the same chip's register file, `bus`
the emulated I²C bus it is on, for drivers.
"""
