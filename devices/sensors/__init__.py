"""Sensors turn the world into readings: `sample(world, ids, times) -> columns`. They know nothing of MQTT.

`base` says what a sensor is and how columns look, `fields` what the contract tells of a reading's fields, `kind` what
everything else may ask of a kind, and `registry` finds the `KIND` of each kind of the contract: `KINDS` is the one
table. Each kind is a folder (or one module): `bme280`, `traffic`, `gps`, `telematics`, `people`. From outside: `base`,
`fields`, `kind` and `registry`; the insides of a kind are its own, but for the receiver of `gps`, which telematics
units have as well, and the chip of `bme280`, whose broken registers faults show.
"""
