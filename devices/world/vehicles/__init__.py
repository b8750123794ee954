"""The vehicles of the fleet, which gps and telematics units ride in and cameras see.

What a vehicle is driven for (`uses`) makes its days (`working_days`, `private_days`: `drawn_days`), and they are its
schedule (`day_plans`). A trip of it gets a route (`routes`) and speed profiles (`day_trips`, `smooth_profile`), is kept
(`trip_cache`), and asked for positions, passages and peak accelerations (`vehicles`). In `world: 1` the schedule is
by the hour of its driver (`schedule`, `drivers`), and the trips are those of `trips` and `kinematics`. From outside:
`vehicles` alone, through `components(world).vehicles`.
"""
