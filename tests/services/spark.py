"""A real Spark in this process, with the Kafka source that Maven copies once."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.kafka import cache_folder, copy_jars

POM = Path(__file__).with_name("spark-pom.xml")


@contextmanager
def spark_session() -> Iterator[Any]:
    """Yield the session. Raises `ServiceUnavailable` where its jars cannot be had.

    A process has one: jars are those of its first, whoever asks for it.
    """
    version = re.search(r"spark-sql-kafka-0-10_2.13</artifactId>\s*<version>([^<]+)<", POM.read_text(encoding="utf-8"))
    assert version
    jars = cache_folder() / f"spark-kafka-{version[1]}"
    if not jars.is_dir():
        copy_jars(POM, jars)
    session = (
        importlib.import_module("pyspark.sql")
        .SparkSession.builder.master("local[2]")
        .config("spark.jars", ",".join(map(str, jars.glob("*.jar"))))
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()
