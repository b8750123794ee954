"""The vehicles of the fleet, which gps and telematics units ride in and cameras see.

A `drivers` hour becomes a route (`routes`), the route a trip (`trips`) of speed profiles (`kinematics`), which is kept
(`trip_cache`) and asked for positions, passages and peak accelerations (`vehicles`). From outside: `vehicles` alone,
through `components(world).vehicles`.
"""
