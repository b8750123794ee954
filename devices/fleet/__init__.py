"""Runs the timeline live: every device on its own MQTT connection, and the record of what was emitted.

`fleet` composes the rest. `pacer` releases messages when they are due; `device_client` publishes or keeps them, by the
states of `client_state`. Connections: `connect_queue`, `connector`, `loop_watch`, `brokers`, `credentials`,
`session_factory`. `fault_injector` does to clients what the calendar has (`fault_state`), `command_handler` what they
are told to do.
`steering` changes a fleet that runs, and looks at its devices, for whoever controls it.
`metrics`, `latency`, `bottleneck` and `run_record` tell how it went; `shutdown` ends it. From outside: `Fleet`,
`connector.probe_all`, `brokers`, `credentials`, the numbers of `metrics` and `latency`; never a client's state.
"""
