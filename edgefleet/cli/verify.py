"""Implements `edgefleet verify`: what a run sent against what arrived."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from edgefleet.cli.bridge_file import load_bridge
from edgefleet.cli.common import HtmlPage, Json, RunFolders, first_token, parse_duration
from edgewire.errors import ConfigError

if TYPE_CHECKING:
    from devices.faults.labels import Label


def command(
    runs: RunFolders,
    ingest: Annotated[
        str | None, typer.Option(envvar="EDGEFLEET_VERIFY_INGEST", help="URL of the ingest service.")
    ] = None,
    ingest_token: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEFLEET_INGEST_TOKEN", callback=first_token, help="Bearer token, where the service asks for one."
        ),
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(envvar="EDGEFLEET_VERIFY_KAFKA", help="Bootstrap servers of Kafka: HOST:PORT,….")
    ] = None,
    kafka_topic: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_KAFKA_TOPIC",
            help="Kafka topic to read, instead of those of the contract; repeatable.",
        ),
    ] = None,
    kafka_config: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_KAFKA_CONFIG",
            metavar="FILE",
            help="How the cluster is reached (SASL, TLS): YAML as of `generate --kafka-config`, of which "
            "bootstrap_servers and properties count. --kafka wins over the former.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_ROWS",
            help="File of what another store has, a JSON object a line with device_id, boot and seq.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    row_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_ROW_KEY",
            metavar="NAME=KEY",
            help="What device_id, boot, seq, id, timestamp or arrived is called there; repeatable.",
        ),
    ] = None,
    bridge: Annotated[
        Path | None,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_BRIDGE",
            metavar="BRIDGE.YAML",
            help="Configuration of the bridge: what its rules leave out on purpose is not missing.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(envvar="EDGEFLEET_VERIFY_WAIT", help="How long to wait for what has not arrived yet.")
    ] = "30s",
    late_after: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_LATE_AFTER", help="What takes longer from due to arrived is counted as late."
        ),
    ] = "5s",
    clock_allowance: Annotated[
        str,
        typer.Option(
            envvar="EDGEFLEET_VERIFY_CLOCK_ALLOWANCE",
            help="What came earlier than this before it was sent is of another run of the same ids.",
        ),
    ] = "1s",
    html: HtmlPage = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the verdict as JUnit's XML, for CI systems.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare what a run sent with what arrived in the ingest store, in Kafka, or in rows of another store.

    Per kind: sent, stored, lost with the first missing ids, refused by the broker, duplicates, out of order, late, and
    the latency. PASS and exit code 0: all that the whole fleet emitted is there. FAIL and 1: something is missing.
    INCOMPLETE and 1: nothing is known to be, but not everything is known; the lines above say what not.

    Several records are those of the shards of one run, all of which are needed.

    Example: `edgefleet verify runs/latest --ingest http://127.0.0.1:8000 --kafka 127.0.0.1:9092`
    """
    kafka_properties: dict[str, Any] = {}
    if kafka_config is not None:
        from edgefleet.cli.kafka_config import load_kafka_config

        cluster = load_kafka_config(kafka_config)
        kafka, kafka_properties = kafka or cluster.bootstrap_servers, cluster.properties
    if ingest is None and kafka is None and rows is None:
        raise ConfigError("nothing to compare with: give --ingest URL, --kafka HOST:PORT or --rows FILE")
    row_keys = _parse_row_keys(row_key or ())
    if row_keys and rows is None:
        raise ConfigError("--row-key: is about the file of --rows FILE, which is not given")
    from rich.console import Console

    from edgefleet.verify import print_verdict, verify_run
    from edgewire.run_record import RunRecord

    wait_s = parse_duration("--wait", wait, least_ms=0) / 1000
    late_after_ms = parse_duration("--late-after", late_after, least_ms=0)
    allowance_ms = parse_duration("--clock-allowance", clock_allowance, least_ms=0)
    record = RunRecord.join([RunRecord.load(run) for run in runs])
    bridge_config = None if bridge is None else load_bridge(bridge)
    labels: list[Label] = []
    states: list[dict[str, Any]] = []
    if html:
        from edgefleet.report.html.files import check_page, list_run_files, read_run_labels, read_run_states

        check_page(html, list_run_files(runs))
        labels, states = read_run_labels(runs), read_run_states(runs)
    if junit:
        from edgefleet.report.html.files import check_page, list_run_files

        check_page(junit, [*list_run_files(runs), *([rows] if rows else [])], "--junit")
    people = Console(stderr=True)
    unwritten: ConfigError | None = None
    with people.status("reading") as status:
        verdict = verify_run(
            record,
            ingest=ingest,
            ingest_token=ingest_token,
            kafka=kafka,
            kafka_topics=kafka_topic,
            kafka_properties=kafka_properties,
            rows=rows,
            row_keys=row_keys,
            bridge=bridge_config,
            wait_s=wait_s,
            late_after_ms=late_after_ms,
            allowance_ms=allowance_ms,
            progress=lambda sink, stored, sent: status.update(f"{sink}: {stored:,} of {sent:,} have arrived"),
        )
    if html:
        from edgefleet.report.html.files import write_page
        from edgefleet.report.html.verify_page import verify_page

        services = {
            name: url for name, url in (("http", ingest), ("kafka", kafka), ("rows", rows and str(rows))) if url
        }
        page = verify_page(verdict, record, labels, services, late_after_ms, states)
        try:
            write_page(html, page)
        except ConfigError as error:
            unwritten = error
    if junit:
        from edgefleet.verify.junit import write_junit

        try:
            write_junit(junit, verdict, (record.stopped_ms - record.started_ms) / 1000)
        except ConfigError as error:
            unwritten = unwritten or error
    if as_json:
        typer.echo(orjson.dumps(verdict.to_json(), option=orjson.OPT_INDENT_2))
    else:
        print_verdict(verdict, Console())
    if unwritten:
        raise unwritten
    if not verdict.ok:
        raise typer.Exit(1)


def _parse_row_keys(texts: Sequence[str]) -> dict[str, str]:
    keys = {}
    for text in texts:
        name, equals, key = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--row-key: '{text}' is not of the form NAME=KEY, such as device_id=sensor")
        keys[name] = key
    return keys
