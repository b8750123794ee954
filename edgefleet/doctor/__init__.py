"""What a scenario needs of this machine and its brokers, compared with what there is, before the fleet starts."""

from edgefleet.doctor.broker_probe import BrokerFacts, examine_all
from edgefleet.doctor.checks import Check, Verdict, judge
from edgefleet.doctor.machine import Machine
from edgefleet.doctor.needs import Needs
from edgefleet.doctor.report import print_checks, require_healthy

__all__ = [
    "BrokerFacts",
    "Check",
    "Machine",
    "Needs",
    "Verdict",
    "examine_all",
    "judge",
    "print_checks",
    "require_healthy",
]
