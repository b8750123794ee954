"""From MQTT into a durable spool, and from there to HTTP and Kafka: acknowledged means safe.

The way of a message, one file a step: `source` (subscribe, acknowledge) → `spool` (on disk) → `routing` (where to) →
`delivery` (order, retry, books) → `sinks` (HTTP, Kafka). `pipeline` puts them together.
"""
