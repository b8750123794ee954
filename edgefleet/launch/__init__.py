"""Runs a fleet: in this process, in several of this machine, or on a Ray cluster.

`shard` runs one part of a fleet, in a process that `process_tuning` prepares, and puts the parts' results together.
`workers` splits a run over workers, sets their common start and collects what they say, which `worker_status` keeps; it
reaches them through a `launcher`: `processes`, or `ray_cluster` with its actors in `ray_shard`. A job and its result
are plain data; other launchers need `shard` alone.
"""
