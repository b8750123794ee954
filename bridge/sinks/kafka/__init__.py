"""The Kafka sink: idempotent, acknowledged by all replicas, CloudEvents in binary form.

- `config`: its settings, and its target in a route.
- `sink`: what is sent how, and again.
- `values`, `value_config`: how values are written that have a schema; `schema_registry` asks for its id.
- `avro_codec`, `protobuf_codec`, `schema_values`: the bytes of such values, and what does not fit.
- `record`: topic, key, partition and headers of a message.
- `producer`: the producers of librdkafka, and their delivery reports.
- `admin`: what the cluster says to an administrator, and what its errors mean for a message.

Other parts of the bridge use `config`, `sink` and `admin` alone.
"""
