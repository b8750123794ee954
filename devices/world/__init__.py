"""The world that devices measure: pure functions of (seed, entity, time), with no state and no I/O.

In the order in which each builds on the ones before:
`random` (hash draws), `runs` (rows that are alike), `world` (seed, sites, local time), `noise` (slow randomness),
`timestamps` (instants as text);
`weather` (what it is), `drifting_cells` (that of `world: 1`), `sun`, `planetary_waves`, `climates` and `atmosphere`
(that of `world: 2`); `rare_days` (snow, events in town), `roads`, `traffic`, `arrivals` (headways); `vehicles` (the
fleet's cars, a folder); `shops`.
`components` makes weather, roads, traffic and vehicles once a world, by its version: sensors ask `components(world)`.
"""
