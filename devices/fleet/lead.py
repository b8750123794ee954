"""How long before its first message a run is prepared."""

from devices.scenario import Scenario

LEAD_MS = 300
LEAD_PER_DEVICE_MS = 0.02
LEAD_PER_OWN_DEVICE_MS = 0.2


def start_lead_ms(scenario: Scenario, shards: int = 1, crowd: float = 1.0) -> int:
    """How far ahead of now a run begins: as long as building its devices may take, so it begins without a backlog.

    `crowd` is how many processes of such a shard share a core.
    """
    size = sum(group.size for group in scenario.devices)
    return round((LEAD_MS + size * LEAD_PER_DEVICE_MS + size / shards * LEAD_PER_OWN_DEVICE_MS) * max(1.0, crowd))
