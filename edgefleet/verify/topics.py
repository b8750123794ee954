"""Names the topics of the contract in Kafka, for those who do not need its client yet."""

from edgewire.messages import CONTRACT

CONTRACT_TOPICS = tuple(message.kafka_topic for contract in CONTRACT.values() for message in contract.messages)
"""In the order of the contract."""
