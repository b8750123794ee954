"""Compares what devices do with what their platform takes: it would cut them off, and not say why."""

from collections.abc import Iterator

from devices.scenario.platform_check import limits_of, platform_faults
from devices.scenario.scenario import Scenario
from edgefleet.doctor.checks import DoctorCheck
from edgefleet.doctor.needs import Needs

_AMAZON, _ALPN_PORT, _ALPN = ".amazonaws.com", 443, "x-amzn-mqtt-ca"


def platform_checks(scenario: Scenario) -> Iterator[DoctorCheck]:
    """Yield a check of each limit that a group of the scenario breaks, or one that all are kept."""
    for group in scenario.devices:
        limits = limits_of(group)
        if limits is None:
            continue
        name = f"{group.kind} at {limits.platform}"
        # Of this group alone: others may say more, and to others.
        largest = Needs.of(scenario.model_copy(update={"devices": (group,)})).largest_packet_bytes
        faults = [*platform_faults(group, scenario.keep_alive, scenario.time_scale)]
        for fault in faults:
            yield DoctorCheck(f"{name}, {fault.limit}", "failure", "within its limits", "beyond them", fault.said)
        need, have = f"{largest:,} bytes", f"{limits.payload_bytes:,} bytes"
        if largest > limits.payload_bytes:
            yield DoctorCheck(f"{name}, message", "failure", need, have, "fewer or shorter values in the kind's fields")
        elif not faults:
            yield DoctorCheck(f"{name}, limits", "ok", need, have)
    for url in scenario.broker_urls:
        if url.host.endswith(_AMAZON) and url.port == _ALPN_PORT and _ALPN not in scenario.alpn:
            fix = f"alpn: [{_ALPN}] in the scenario, or port 8883"
            yield DoctorCheck(f"broker {url.place}, ALPN", "failure", _ALPN, ", ".join(scenario.alpn) or "none", fix)
