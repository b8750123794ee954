"""Delivers from the spool to the sinks: order, retries and cursors, the same for every sink.

In the order that data flows: `runners` hands what was committed to one `runner` a sink; that has a `worker` for each
`queue` (which decides what may be written next, so that no message of a device overtakes another; `buffer` is what
waits in it), and writes over the `sink_connection` when the `circuit_breaker` of the destination lets it (`backoff`
says how long a wait is). What became of a message goes into the `ack_tracker`, and from there into the spool. What
is given up becomes a dead letter; `dead_letter_publisher` publishes it to `dead_letter_targets`, as `config` says. What
is delivered with a remark goes into the `remark_log`.
From outside only `runners`, `dead_letter_publisher` and `config` are used.
"""
