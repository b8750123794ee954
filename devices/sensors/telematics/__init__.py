"""Telematics unit: `events` (types of driving events) -> `sensor` (the vehicle's motion, told as events)."""
