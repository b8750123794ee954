"""What a device's firmware decides, as pure state: no clock, no socket, no event loop in here."""
