"""People counter: `visits` (a day at many doors, counted by a `rank_index`) -> `sensor` (crossings, visits, counts).

`events` are types of visits that a user's module tells apart.
"""
