"""Telematics unit: `events` (types of driving events), `driving` (which hold, and how risky it is) -> `sensor`."""
