"""People counter: `visits` (a day at many doors, counted by a `rank_index`) -> `sensor` (crossings, visits, counts)."""
