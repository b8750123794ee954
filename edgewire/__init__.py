"""What both ends of the cable agree on: MQTT, the message contract, and the few things every process needs.

Nothing in here knows of devices, bridges or commands; it may be imported from all of them.
"""
