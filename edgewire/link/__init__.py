"""MQTT over asyncio: `connect_link` reaches a broker and gives a `Link`."""

from edgewire.link.closing import close_and_wait
from edgewire.link.connect import BrokerRefused, NoLocalPort, connect_link, probe_version
from edgewire.link.protocol import Link
from edgewire.link.url import BrokerUrl

__all__ = ["BrokerRefused", "BrokerUrl", "Link", "NoLocalPort", "close_and_wait", "connect_link", "probe_version"]
