"""MQTT over asyncio: `dial` a broker, get a `Link`."""

from edgewire.link.closing import part
from edgewire.link.connect import BrokerRefused, NoLocalPort, dial, probe_version
from edgewire.link.protocol import Link
from edgewire.link.url import BrokerUrl

__all__ = ["BrokerRefused", "BrokerUrl", "Link", "NoLocalPort", "dial", "part", "probe_version"]
