"""The things that both ends of the cable agree on: MQTT, the message contract, and what every process needs.

`mqtt/` is the protocol without I/O, `link/` drives it over a network, `messages/` is the contract of payloads and
topics; beside them configuration, clock, logs, errors, backoff, and the record of a run. Nothing in here knows of
devices, bridges or commands; it may be imported from all of them.
"""
