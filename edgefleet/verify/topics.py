"""Names the topics of the contract in Kafka, for those who do not need its client yet."""

from edgewire.messages import ACCEPTED, CONTRACT


def contract_topics() -> tuple[str, ...]:
    """Return them in the order of the contract."""
    return tuple(message.kafka_topic for contract in CONTRACT.values() for message in contract.messages)


def accepted_topics() -> tuple[str, ...]:
    """Return the same, and where the bridge puts what it has read in messages of other makers' devices."""
    return tuple(message.kafka_topic for contract in ACCEPTED.values() for message in contract.messages)
