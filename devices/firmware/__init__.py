"""Decides what a device does, as pure state: no clock, no socket, no event loop in here.

`config` has the settings of a group's devices. `firmware` decides about a reading, a connection and a reset, with the
`outbox` for what waits and `reconnect` for when it comes back; `vitals` are battery and radio in its status. `commands`
reads what a device is told to do. Who brings events and does what is decided is in `devices.fleet`; from outside, a
device's state changes through `Firmware`.
"""
