"""The timeline without a broker: into files, a database, an HTTP service or Kafka."""
