"""The contract of messages: their fields, their topics, and the id of each.

Models validate at the edges (ingest, verification, tests). The fleet's hot path writes JSON without them;
a contract test proves that both agree.
"""

from edgewire.messages.base import ContractError, Measurement, MessageId
from edgewire.messages.contract import (
    ACCEPTED,
    BATCH_PATH,
    CONTRACT,
    KAFKA_TOPIC,
    KindContract,
    MessageType,
    contract_of,
    kind_of,
)
from edgewire.messages.control import Command, Result, Status
from edgewire.messages.topics import MEASUREMENT_FILTERS, Channel, Topic

__all__ = [
    "ACCEPTED",
    "BATCH_PATH",
    "CONTRACT",
    "KAFKA_TOPIC",
    "MEASUREMENT_FILTERS",
    "Channel",
    "Command",
    "ContractError",
    "KindContract",
    "Measurement",
    "MessageId",
    "MessageType",
    "Result",
    "Status",
    "Topic",
    "contract_of",
    "kind_of",
]
