"""Makes what a device logs in to Azure IoT Hub with: its user name, and of its key a token that ends after a while.

After Azure IoT Hub's documentation (MQTT; control access with shared access signatures). The clock is that of the wall:
the hub compares the end of a token with its own.
"""

import base64
import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil
from urllib.parse import quote

from edgewire.dialects.azure_iot import API_VERSION
from edgewire.link import BrokerUrl


@dataclass(frozen=True, slots=True)
class HubLogin:
    """Holds who a device is at a hub; without a key it shows a certificate."""

    device_id: str
    hub: str
    """Host name; empty: that of the broker."""
    lifetime_s: float
    """Of a token."""
    key: bytes | None = field(default=None, repr=False)

    def username(self, broker: BrokerUrl) -> str:
        """Return the user name, which tells the version of what is spoken."""
        return f"{self.hub or broker.host}/{self.device_id}/?api-version={API_VERSION}"

    def password(self, broker: BrokerUrl, now_s: float) -> str | None:
        """Return a token that ends `lifetime_s` after `now_s`, seconds since 1970 UTC; None without a key."""
        if self.key is None:
            return None
        resource = quote(f"{self.hub or broker.host}/devices/{self.device_id}", safe="")
        return shared_access_signature(resource, self.key, ceil(now_s + self.lifetime_s))


def shared_access_signature(resource: str, key: bytes, ends_s: int) -> str:
    """Return the token for a resource, percent-encoded, until an instant in seconds since 1970 UTC."""
    signed = base64.b64encode(hmac.digest(key, f"{resource}\n{ends_s}".encode(), sha256)).decode()
    return f"SharedAccessSignature sr={resource}&sig={quote(signed, safe='')}&se={ends_s}"
