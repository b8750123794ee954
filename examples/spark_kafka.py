"""Read the messages of a fleet from Kafka with Spark Structured Streaming, each once, and count them in windows.

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0 examples/spark_kafka.py \
        127.0.0.1:9092 telematics_events

The schema is the contract's: `edgefleet schema spark` prints it. Needs PySpark, and edgefleet on the PATH.
"""

import json
import subprocess
import sys
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType


def contract() -> dict[str, Any]:
    """Return the schemas of all topics."""
    printed = subprocess.run(["edgefleet", "schema", "spark"], capture_output=True, check=True)  # noqa: S607
    found: dict[str, Any] = json.loads(printed.stdout)
    return found


def read_messages(spark: SparkSession, servers: str, topic: str, schema: StructType) -> DataFrame:
    """Return the messages of a topic as a stream, with the id by which each is known."""
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .load()
    )
    # A header may be there more than once: these are the bridge's own, and are there once.
    identifier = f.filter("headers", lambda header: header.key == "ce_id")[0].value.cast("string")
    message = f.from_json(f.col("value").cast("string"), schema)
    return records.select(identifier.alias("ce_id"), message.alias("message")).select("ce_id", "message.*")


def once(messages: DataFrame) -> DataFrame:
    """Return each message once: the bridge delivers at least once, and two copies have the same id."""
    return messages.withWatermark("timestamp", "10 minutes").dropDuplicatesWithinWatermark(["ce_id"])


def show_minutes(messages: DataFrame, _: int) -> None:
    """Print how many messages of how many devices there are in each minute of their own time."""
    per_minute = messages.groupBy(f.window("timestamp", "1 minute").alias("minute"))
    counts = per_minute.agg(f.count("*").alias("messages"), f.countDistinct("device_id").alias("devices"))
    counts.orderBy("minute").show(1000, truncate=False)


def main() -> None:
    """Print what is in a topic, in batches as they come."""
    servers, topic = sys.argv[1:3]
    spark = SparkSession.builder.appName("edgefleet").getOrCreate()
    schema = StructType.fromJson(contract()["topics"][topic]["struct"])
    messages = once(read_messages(spark, servers, topic, schema))
    # What is there, and no more; without the trigger it goes on as messages come.
    messages.writeStream.foreachBatch(show_minutes).trigger(availableNow=True).start().awaitTermination()


if __name__ == "__main__":
    main()
