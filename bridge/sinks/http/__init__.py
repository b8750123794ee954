"""The HTTP sink: batches or single posts, to URLs made of the message.

- `config`: its settings, and its target in a route.
- `sink`: groups, splits, and keeps devices in order.
- `request`: URL, headers, body and queue of a message, compiled once from its target.
- `idempotency`: keys, and requests whose fate is not known.
- `client`: sends; `response`: what came back means for the messages.

Other parts of the bridge use `config` and `sink` alone.
"""
