"""Sinks: each delivers batches to one kind of destination and says what came of every message.

- `settings`: what the settings and route targets of all sinks have in common.
- `base`: the contract of a sink, and what it answers.
- `http`, `kafka`, `file`: the sinks.
- `registry`: the one table of them, from which configuration and routes take their keys.

A sink owns no loop, no backoff, no books: those are `bridge.delivery`'s. docs/sinks.md tells how to add one.
"""
