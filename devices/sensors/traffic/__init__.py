"""Traffic camera: `view` (what it looks at) -> `vehicles` (those it detects) -> `sensor` (its counts and speeds)."""
