"""Names the topics of the contract in Kafka, for those who do not need its client yet."""

from edgewire.messages import ACCEPTED, CONTRACT

CONTRACT_TOPICS = tuple(message.kafka_topic for contract in CONTRACT.values() for message in contract.messages)
"""In the order of the contract."""

ACCEPTED_TOPICS = tuple(message.kafka_topic for contract in ACCEPTED.values() for message in contract.messages)
"""The same, and where the bridge puts what it has read in messages of other makers' devices."""
