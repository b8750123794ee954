"""Sensors turn the world into readings: `sample(world, ids, times) -> columns`. They know nothing of MQTT."""
