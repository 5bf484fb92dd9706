"""How the system is run: the embedded Kafka and Redis, the supervisor, `up`, and the container images."""
