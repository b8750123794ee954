"""The same tests against every MQTT broker that can be had here, and the table of docs/brokers.md."""
