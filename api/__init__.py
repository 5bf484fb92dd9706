"""The HTTP API: learners' events into Kafka, lists out of Redis."""
