"""Environmental sensor: temperature, humidity and pressure, as a BME280 measures them."""

from typing import Annotated, Literal

from pydantic import Field

from edgewire.messages.base import Examples, Measurement, Payload, example_head


class Bme280Metadata(Payload):
    """Who produced the reading, and the weather it was taken in."""

    generator: str
    version: str
    in_weather_event: bool = False
    """Whether the reading was taken during a weather event."""
    weather_event_type: Literal["storm", "front", "clear"] | None = None
    """Which event; null outside of one."""


class Bme280Reading(Measurement):
    """One reading. The ranges are those of the chip (Bosch BST-BME280-DS001-10, table 1)."""

    temperature_c: Annotated[float, Field(ge=-40, le=85)]
    """Degrees Celsius."""
    humidity: Annotated[float, Field(ge=0, le=100)]
    """Relative humidity in percent."""
    pressure_hpa: Annotated[float, Field(ge=300, le=1100)]
    """Station pressure in hectopascals."""
    metadata: Bme280Metadata | None = None


BME280_EXAMPLES: Examples = (
    example_head("bme280_fake_001", 117)
    | {
        "temperature_c": 21.43,
        "humidity": 44.1,
        "pressure_hpa": 1013.25,
        "metadata": {
            "generator": "edgefleet",
            "version": "0.1.0",
            "in_weather_event": True,
            "weather_event_type": "front",
        },
    },
)
