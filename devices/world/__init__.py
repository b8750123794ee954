"""The world that devices measure: pure functions of (seed, entity, time), with no state and no I/O.

In the order in which each builds on the ones before:
`random` (hash draws), `world` (seed, sites, local time), `noise` (slow randomness), `timestamps` (instants as text);
`weather`, `sun`; `roads`, `traffic`, `arrivals` (headways); `vehicles` (the fleet's cars, a folder); `shops`.
`components` makes roads, traffic and vehicles once a world: sensors ask `components(world)` for them.
"""
