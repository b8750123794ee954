"""Says what a message is, and makes texts of it; where it goes is decided in `bridge.routing`.

- `user_properties`: the MQTT 5 properties that go with a message through the spool.
- `decoders`: topics and payloads read, by the format in which devices write.
- `foreign`, `payload_shapes`: those of other makers' devices and own formats, and what differs in numbers alone.
- `event`: a message and what its topic and payload say.
- `template`: texts and bodies with fields of an event filled in.
- `cloudevents`: an event as a CloudEvent.

Nothing here does I/O, and nothing knows of routes or sinks.
"""
