"""GPS unit: `receiver` (a fix, also of telematics units) -> `sensor` (the reading) -> `nmea` (as sentences)."""
