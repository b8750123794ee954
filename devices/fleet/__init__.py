"""The timeline live: scheduler, connections, ramp, and the record of what was emitted."""
