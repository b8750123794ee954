"""Everything that pretends to be hardware: a device is sensor + firmware + link.

In the order of the data, and each may import only those before it: `world` is what there is to measure, `sensors`
turn it into readings, `faults` say what goes wrong, `firmware` decides what a device does with a reading, `scenario`
is the user's file, `timeline` joins them into messages without a broker, so that a live run and an export give the
same bytes; `fleet` publishes these over MQTT, `export` writes them elsewhere.
"""
