"""From MQTT into a durable spool, and from there to HTTP, Kafka and files: acknowledged means safe.

In the order that data flows:
`source` subscribes, hands every message to the spool, and acknowledges it when it is there;
`spool` is the one file in which messages are safe, with what every sink is done with, and the dead letters;
`message` knows the formats and says what a message is, with the templates and CloudEvents made of it;
`routing` says where it goes;
`delivery` keeps order, retries and cursors, the same for every sink; `sinks` write to one kind of destination each;
`loss_detection` finds what was lost before it reached us.
`service` puts the parts together and `control` stops, reloads and drains them; `config` is the file with its keys;
`admin` and `metrics` tell how it is, `operator` lets people change it, `tracing` exports spans, `check` tries a
configuration out, `memory_watch` ends the bridge where it gets no more memory, and `failpoints` are where tests let it
die. Only `service` imports from all of them.
"""
