"""Connections to Kafka, Redis and the bundle store, shared by the processes. Nothing here knows of recommending."""
