"""Subscribes at the broker, hands every message to the spool, and acknowledges it when it is there.

In the order that data flows: `client` keeps the session connected (`MqttSource`; `state` is its table of transitions),
`receiver` takes its messages in and acknowledges them; `sparkplug_host` asks nodes of Sparkplug for what it lacks of
their births, and `host_state` tells them that the bridge is there; `failover` has one for each broker of a list. Beside
them `config` (the keys `mqtt`), `sessions` (what every connection of the bridge asks for), `subscriptions` (what the
broker's session holds) and `advice` (what an operator should know of both). Nothing here knows of routes or sinks.
"""
