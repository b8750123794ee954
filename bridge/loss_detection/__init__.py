"""Finds what was lost before it reached the bridge, by the broker or by a device.

`sequence_gaps` finds it in the numbers of the messages that were committed, `broker_stats` in the broker's own count of
what it dropped; `report` counts it, logs it, and shows it in /readyz. `config` has the keys `watch`. The bridge itself
loses nothing, so nothing here is on the way of a message.
"""
