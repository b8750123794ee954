"""Faults on purpose: what goes wrong with which device when, and the ground truth about it.

In the order of the data: `registry` lists the faults, each a class on top of `base` in `sensor_faults`,
`connection_faults` or `bursts`. `schedule` says when one is there, `assigned` which devices have it, and `plan`
applies a calendar to readings, whose `rows` it hands to each fault's `apply`. `reboots` tells boots from the
calendar, `transitions` what a live fleet begins and ends, `labels` is the ground truth as it is written;
`rare_day_labels` tells it of snow and events in town, which are no faults.
A fault is added by its class and its line in `registry` (docs/faults.md); nothing else asks which fault it is.
"""
