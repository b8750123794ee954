"""A real Spark reads what `generate --kafka` wrote, by the example and the schemas as printed: `make test-spark`."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgewire.messages.spark import kafka_record, spark_schemas

pytestmark = [
    pytest.mark.spark,
    pytest.mark.timeout(600),
    # Of py4j, which PySpark speaks to its JVM through.
    pytest.mark.filterwarnings("ignore:.*unclosed <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

ROOT = Path(__file__).parents[2]
TOPICS = spark_schemas()


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The program that the documents show."""
    spec = importlib.util.spec_from_file_location("spark_kafka", ROOT / "examples" / "spark_kafka.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(kafka: str) -> dict[str, int]:
    """Some minutes of every kind in the topics of the contract, twice; how many different messages each has."""
    command = [
        sys.executable,
        "-m",
        "edgefleet",
        "generate",
        str(ROOT / "scenarios" / "mixed.yaml"),
        "--records",
        "3000",
    ]
    command += ["--from", "2026-03-07T14:00"]
    for _ in range(2):
        subprocess.run([*command, "--kafka", kafka], check=True, capture_output=True, cwd=ROOT)
    lines = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout.splitlines()
    counts = dict.fromkeys(TOPICS, 0)
    for line in lines:
        counts[_topic_of(json.loads(line))] += 1
    return counts


def _topic_of(fields: dict[str, Any]) -> str:
    from edgewire.messages import kind_of

    return next(
        one.kafka_topic
        for one in kind_of(fields).messages
        if not one.event_types or fields["event_type"] in one.event_types
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_spark_reads_struct_and_ddl_alike(spark: Any, topic: str) -> None:
    types = importlib.import_module("pyspark.sql.types")
    from_json = types.StructType.fromJson(TOPICS[topic]["struct"])
    from_ddl = types.StructType.fromDDL(TOPICS[topic]["ddl"])
    assert from_ddl.simpleString() == from_json.simpleString()
    assert [field.nullable for field in from_ddl] == [field.nullable for field in from_json]
    assert json.loads(from_json.json()) == TOPICS[topic]["struct"]


def test_a_record_of_the_source_is_as_printed(spark: Any, kafka: str, written: dict[str, int]) -> None:
    source = spark.read.format("kafka").option("kafka.bootstrap.servers", kafka).option("includeHeaders", "true")
    found = source.option("subscribe", "gps_positions").load().schema
    types = importlib.import_module("pyspark.sql.types")
    assert found.simpleString() == types.StructType.fromJson(kafka_record()).simpleString()


@pytest.mark.parametrize("topic", TOPICS)
def test_every_message_arrives_once_and_whole(
    spark: Any, example: ModuleType, kafka: str, written: dict[str, int], topic: str, tmp_path: Path
) -> None:
    types = importlib.import_module("pyspark.sql.types")
    struct = types.StructType.fromJson(TOPICS[topic]["struct"])
    if not written[topic]:
        pytest.fail(f"nothing was written to {topic}")
    query = (
        example.once(example.read_messages(spark, kafka, topic, struct))
        .writeStream.format("memory")
        .queryName(f"found_{topic.replace('.', '_')}")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    table = spark.table(f"found_{topic.replace('.', '_')}")
    assert table.count() == written[topic]
    missing = [name for field in TOPICS[topic]["struct"]["fields"] if not field["nullable"] for name in [field["name"]]]
    assert table.where(" or ".join(f"`{name}` is null" for name in ["ce_id", *missing])).count() == 0
    same = table.where("ce_id != concat(device_id, ':', boot, ':', seq)")
    assert same.count() == 0


def test_the_example_runs_as_it_is_shown(spark: Any, kafka: str, written: dict[str, int], tmp_path: Path) -> None:
    jars = spark.conf.get("spark.jars")
    shown = [sys.executable, "-m", "pyspark.find_spark_home"]
    home = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
    submit = [f"{home}/bin/spark-submit", "--master", "local[2]", "--jars", jars]
    program = [str(ROOT / "examples" / "spark_kafka.py"), kafka, "sensors.bme280"]
    done = subprocess.run([*submit, *program], capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = [int(line.split("|")[2]) for line in done.stdout.splitlines() if line.startswith("|{")]
    assert sum(counts) == written["sensors.bme280"], done.stdout
