"""Makes identities for a fleet: what a secured Mosquitto, the devices and the bridge each need to know of one another.

`rights` finds out who there is and which topics each needs; `folder` writes the folder of identities, with certificates
signed by `authority` and the files that `mosquitto` words for the broker; `files` writes what is secret.
`devices.fleet.credentials` reads the folder.
"""

from devices.fleet.credentials import OPERATOR
from edgefleet.provision.folder import BRIDGE, Provisioned, provision
from edgefleet.provision.rights import Account, ServiceRights, fleet_accounts, service_rights

__all__ = [
    "BRIDGE",
    "OPERATOR",
    "Account",
    "Provisioned",
    "ServiceRights",
    "fleet_accounts",
    "provision",
    "service_rights",
]
