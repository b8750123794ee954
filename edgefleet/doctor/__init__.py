"""Compares what a scenario needs of this machine and its brokers with what there is, before the fleet starts.

`needs` reckons from the scenario, `machine` reads this machine, `broker_probe` asks the brokers, `checks` compares the
three, `platforms` the scenario with the limits of a platform, `report` tells people.
"""

from edgefleet.doctor.broker_probe import BrokerFacts, ProbePlan, common_limits, probe_brokers
from edgefleet.doctor.checks import CheckOutcome, DoctorCheck, evaluate
from edgefleet.doctor.machine import Machine
from edgefleet.doctor.needs import Needs
from edgefleet.doctor.platforms import platform_checks
from edgefleet.doctor.report import print_checks, require_healthy

__all__ = [
    "BrokerFacts",
    "CheckOutcome",
    "DoctorCheck",
    "Machine",
    "Needs",
    "ProbePlan",
    "common_limits",
    "evaluate",
    "platform_checks",
    "print_checks",
    "probe_brokers",
    "require_healthy",
]
