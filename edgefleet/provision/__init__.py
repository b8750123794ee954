"""Makes identities for a fleet: what a secured Mosquitto, the devices and the bridge each need to know of one another.

`folder` writes the folder of identities, with certificates signed by `authority` and the files that `mosquitto` words
for the broker; `files` writes what is secret. `devices.fleet.credentials` reads the folder.
"""

from devices.fleet.credentials import OPERATOR
from edgefleet.provision.folder import BRIDGE, Provisioned, provision

__all__ = ["BRIDGE", "OPERATOR", "Provisioned", "provision"]
