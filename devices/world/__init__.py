"""The world that devices measure: weather, roads and vehicles, shops. Pure functions of (seed, entity, time)."""
