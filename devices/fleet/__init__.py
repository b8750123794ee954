"""The timeline live: scheduler, connections, ramp, and the record of what was emitted."""

from devices.fleet.fleet import Fleet, Snapshot, probe

__all__ = ["Fleet", "Snapshot", "probe"]
