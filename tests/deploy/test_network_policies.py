"""Who may reach whom in the cluster, by the network policies, as a network that enforces them would judge."""

from typing import Any

import pytest

from tests.deploy.test_kubernetes import MANIFESTS, PODS, Manifest

POLICIES = [one for one in MANIFESTS if one["kind"] == "NetworkPolicy"]
NAME = "app.kubernetes.io/name"
NAMESPACE = "kubernetes.io/metadata.name"
OURS, MONITORING, OTHERS = "edgefleet", "monitoring", "somebody"

Peer = tuple[str, str]
"""The namespace of a pod, and its name."""


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a selector of labels, of the operators that are used here, takes these."""
    for one in selector.get("matchExpressions", ()):
        assert one["operator"] == "In"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def is_peer(rule: Manifest, peer: Peer) -> bool:
    namespace, name = peer
    if "namespaceSelector" in rule:
        if not selects(rule["namespaceSelector"], {NAMESPACE: namespace}):
            return False
    elif namespace != OURS:
        return False
    return selects(rule.get("podSelector", {}), {NAME: name})


def passes(policies: list[Manifest], direction: str, at: Peer, other: Peer, port: int) -> bool:
    """Whether a pod may be reached by another one (`ingress`), or may reach it (`egress`)."""
    if at[0] != OURS:
        return True
    about = [
        one["spec"]
        for one in policies
        if selects(one["spec"]["podSelector"], {NAME: at[1]}) and direction.capitalize() in one["spec"]["policyTypes"]
    ]
    if not about:
        return True
    side = "from" if direction == "ingress" else "to"
    rules = [rule for one in about for rule in one.get(direction) or ()]
    return any(
        any(is_peer(peer, other) for peer in rule.get(side, [{}]))
        and any(allowed["port"] == port for allowed in rule.get("ports", [{"port": port}]))
        for rule in rules
    )


def reaches(policies: list[Manifest], source: Peer, target: Peer, port: int) -> bool:
    return passes(policies, "egress", source, target, port) and passes(policies, "ingress", target, source, port)


def pairs(policies: list[Manifest]) -> set[tuple[Peer, str, int]]:
    """Who reaches which of our pods, and at which of their ports."""
    sources = [*((OURS, name) for name in PODS), (OURS, "stranger"), (MONITORING, "prometheus"), (OTHERS, "stranger")]
    sources += [(OTHERS, name) for name in PODS]  # whoever calls himself as one of ours, elsewhere
    ports = {8883, 8884, 9464, 9465, 8000, 22}
    return {
        (source, target, port)
        for source in sources
        for target in PODS
        for port in ports
        if reaches(policies, source, (OURS, target), port)
    }


ALLOWED = {
    ((OURS, "fleet"), "mosquitto", 8883),
    ((OURS, "bridge"), "mosquitto", 8884),
    ((OURS, "bridge"), "ingest", 8000),
    ((OURS, "verify"), "ingest", 8000),
    ((MONITORING, "prometheus"), "bridge", 9464),
    ((MONITORING, "prometheus"), "ingest", 8000),
    ((MONITORING, "prometheus"), "fleet", 9465),
}


def test_nobody_reaches_anything_but_what_he_needs() -> None:
    assert pairs(POLICIES) == ALLOWED


@pytest.mark.parametrize("name", PODS)
def test_without_its_policy_a_pod_is_open(name: str) -> None:
    left = [one for one in POLICIES if one["metadata"]["name"] != name]
    assert ((OTHERS, "stranger"), name, 22) in pairs(left)


def test_the_fleet_and_the_broker_speak_to_nobody_else() -> None:
    outside = [(OTHERS, "stranger"), (OURS, "ingest"), (OURS, "bridge")]
    assert not [peer for peer in outside if passes(POLICIES, "egress", (OURS, "mosquitto"), peer, 443)]
    assert not [peer for peer in outside if passes(POLICIES, "egress", (OURS, "fleet"), peer, 443)]
    assert passes(POLICIES, "egress", (OURS, "fleet"), ("kube-system", "kube-dns"), 53)
    # Where it delivers to is the user's.
    assert passes(POLICIES, "egress", (OURS, "bridge"), (OTHERS, "kafka"), 9092)


def test_the_ports_are_those_of_the_containers() -> None:
    listening: dict[str, set[Any]] = {
        name: {port["containerPort"] for port in pod["containers"][0].get("ports", ())} for name, pod in PODS.items()
    }
    assert {(target, port) for _, target, port in ALLOWED} == {
        (name, port) for name, ports in listening.items() for port in ports
    }
