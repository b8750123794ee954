"""Identities for a fleet: what a secured Mosquitto, the devices and the bridge each need to know of one another."""

from devices.fleet.credentials import OPERATOR
from edgefleet.provision.folder import BRIDGE, Provisioned, provision

__all__ = ["BRIDGE", "OPERATOR", "Provisioned", "provision"]
