"""Appends to Delta tables, one for each schema: `FOLDER/bme280` and so on, here or behind `s3://`.

Every window is a commit, which a reader sees whole or not at all. A commit says how far its export has come, in a
transaction of Delta's log that has the export's name: so what was committed is not appended again, by an export that is
gone on with or is repeated. The description of a table says of what its rows are.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from devices.export.arrow_tables import TableArrays, arrow_schema, plain_schema
from devices.export.base import ExportError, ExportWindow, ResumeState
from devices.export.columns import split_by_schema, table_schemas
from devices.export.provenance import Provenance
from devices.export.stores import S3Place
from devices.scenario.devices import Shard
from devices.timeline.table import Table
from devices.timeline.timeline import Timeline
from edgewire.clock import parse_ms
from edgewire.output import make_output_folder
from edgewire.redact import KnownSecrets

_REMEDY = "write to another place, or let --replace remove what is there"


class DeltaTables:
    """Appends the messages of an export to tables; those of another scenario or of the same times are refused."""

    def __init__(
        self,
        timeline: Timeline,
        place: Path | S3Place,
        provenance: Provenance,
        options: Sequence[object] = (),
        *,
        is_replacing: bool = False,
    ) -> None:
        """Write to `place`; `options` are what else decides which columns there are."""
        self._place = place
        self._schemas = table_schemas(timeline)
        self._of = provenance
        said = {name: getattr(provenance, name) for name in ("seed", "scenario", "clean", "delays")}
        self._about = orjson.dumps(said | {"options": list(map(str, options))}, option=orjson.OPT_SORT_KEYS).decode()
        self._is_replacing = is_replacing
        self._storage = _storage_options(place) if isinstance(place, S3Place) else None
        secrets = place.options if isinstance(place, S3Place) else {}
        self._secrets = KnownSecrets([secrets.get("secret_key", ""), secrets.get("access_key", "")])
        self._arrays = {schema.name: TableArrays() for schema in self._schemas}
        self._committed: dict[str, int] = {}
        """Schema -> when the windows end that are in its table."""
        self.counts = {"inserted": 0, "already_there": 0}
        """Records, by what became of them."""

    def open(self, state: ResumeState | None) -> None:
        """Look at the tables that are there; raises `ExportError` where rows would be mixed, or be there twice."""
        if state is not None:
            self._is_replacing = False
            self.counts = {name: int(state[name]) for name in self.counts}
        if isinstance(self._place, Path):
            try:
                make_output_folder(self._place)
            except OSError as error:
                raise ExportError(f"{self._place} cannot be written: {error.strerror}") from None
        for schema in self._schemas:
            self._committed[schema.name] = self._look(schema.name)

    def write(self, window: ExportWindow) -> int:
        """Append a window's messages as a commit of each table that has some."""
        found: dict[str, list[Table]] = {}
        for schema, table in split_by_schema(self._schemas, window.tables):
            found.setdefault(schema.name, []).append(table)
        for schema in self._schemas:
            tables = found.get(schema.name)
            if not tables:
                continue
            rows = sum(len(table.times) for table in tables)
            if window.to_ms <= self._committed[schema.name]:
                self.counts["already_there"] += rows
                continue
            wide = schema.widened(tables[0])
            columns = arrow_schema(wide.columns, {})
            made = self._arrays[schema.name].table(window.timeline, tables, wide.columns, columns)
            self._commit(schema.name, made.cast(_delta_schema(columns)), window.to_ms)
            self.counts["inserted"] += rows
        return window.rows

    def save_state(self) -> ResumeState:
        """Return what was counted: what is committed is durable, and known again."""
        return dict(self.counts)

    def finish(self) -> None:
        """Remove what was to be replaced and is not; all of ours is committed."""
        for name in (name for name, until in self._committed.items() if self._is_replacing and until < 0):
            uri = self._uri(name)
            try:
                if DeltaTable.is_deltatable(uri, storage_options=self._storage):
                    DeltaTable(uri, storage_options=self._storage).delete()
            except (DeltaError, OSError, ValueError) as error:
                raise self._failure(uri, error) from None

    def abandon(self) -> None:
        """Do nothing: what is committed stays."""

    def _look(self, name: str) -> int:
        """Return until when this export's messages are in a table; raises `ExportError` where others are."""
        uri = self._uri(name)
        try:
            if not DeltaTable.is_deltatable(uri, storage_options=self._storage):
                return -1
            table = DeltaTable(uri, storage_options=self._storage)
            if self._is_replacing:
                return -1
            about = table.metadata().description
            if about != self._about:
                raise ExportError(
                    f"{uri} has rows of another seed, scenario or option ({about or 'of somebody else'}; this export "
                    f"is of {self._about}): {_REMEDY}"
                )
            mine = table.transaction_version(self._name(self._of.shard))
            if mine is not None:
                return int(mine)
            count = Shard.parse(self._of.shard).count
            others = (table.transaction_version(self._name(f"{index}/{count}")) for index in range(count))
            if all(version is None for version in others):
                self._refuse_overlap(uri, table)
        except DeltaError as error:
            raise self._failure(uri, error) from None
        except (OSError, ValueError) as error:
            raise self._failure(uri, error) from None
        return -1

    def _refuse_overlap(self, uri: str, table: DeltaTable) -> None:
        """Raise `ExportError` where a file of a table has rows of our times: they would be there twice."""
        begin, end = parse_ms(self._of.begin), parse_ms(self._of.end)
        files = pa.table(table.get_add_actions(flatten=True))
        if not {"min.timestamp", "max.timestamp"} <= set(files.column_names):
            return
        sides = (files[f"{side}.timestamp"].cast(pa.timestamp("ms", "UTC")) for side in ("min", "max"))
        for first, last in zip(*(side.cast(pa.int64()).to_pylist() for side in sides), strict=True):
            if first is not None and last is not None and first < end and begin <= last:
                raise ExportError(
                    f"{uri} has rows of times between {self._of.begin} and {self._of.end} already, and they would be "
                    f"there twice: give --from and --to so that they do not overlap, {_REMEDY}"
                )

    def _commit(self, name: str, rows: pa.Table, until_ms: int) -> None:
        uri = self._uri(name)
        is_new = self._is_replacing and self._committed[name] < 0
        said = {"edgefleet.version": self._of.version, "edgefleet.begin": self._of.begin, "edgefleet.end": self._of.end}
        try:
            write = partial(
                write_deltalake,
                uri,
                rows,
                description=self._about,
                storage_options=self._storage,
                commit_properties=CommitProperties(
                    custom_metadata=said, app_transactions=[Transaction(self._name(self._of.shard), until_ms)]
                ),
            )
            if is_new:
                write(mode="overwrite", schema_mode="overwrite")
            else:
                write(mode="append", schema_mode="merge")
        except (DeltaError, OSError, ValueError) as error:
            raise self._failure(uri, error) from None
        self._committed[name] = until_ms

    def _uri(self, name: str) -> str:
        return f"{self._place}/{name}"

    def _name(self, shard: str) -> str:
        """Return the name of this export in the log of a table, or of another shard of it."""
        records = "" if self._of.records is None else f"/{self._of.records}"
        return f"edgefleet/{self._of.scenario}/{self._of.begin}/{self._of.end}{records}/{shard}"

    def _failure(self, uri: str, error: Exception) -> ExportError:
        # It colours its words, for a terminal.
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).replace(" ↳ ", ": ")
        said = self._secrets.hide(" ".join(plain.split()))
        return ExportError(f"{uri} cannot be written: {said[:500]}")


def _delta_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema as Delta has it: no dictionaries, times in microseconds."""
    micros = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [pa.field(one.name, micros) if pa.types.is_timestamp(one.type) else one for one in plain_schema(schema)]
    )


def _storage_options(place: S3Place) -> dict[str, str]:
    options = {"connect_timeout": "5s", "timeout": "20s", "max_retries": "2", "retry_timeout": "30s"}
    names = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "region": "AWS_REGION"}
    options |= {names[key]: value for key, value in place.options.items() if key in names}
    if "endpoint_override" in place.options:
        scheme = place.options.get("scheme", "https")
        options["AWS_ENDPOINT_URL"] = f"{scheme}://{place.options['endpoint_override']}"
        options["AWS_ALLOW_HTTP"] = str(scheme == "http").lower()
    return options
