"""Writes the timeline without a broker: into files, a database, an HTTP service or Kafka.

- `base`: what a target is, and the windows of messages it is given.
- `job`: windows from the timeline to a target, with a checkpoint to resume from; `stream`: the same, live and endless.
- `columns`: a shape of message as a table, for targets that have columns.
- `provenance`: what an export is of; `manifest`: what a folder consists of; `compression`: pieces that are one file.
- `files`: files under construction, one a schema; `jsonl`, `csv`, `parquet`: their formats.
- `postgres`, `http`, `kafka`: the targets that are services.
- `series`: what was exported, or would be, a device; `plots`, `plot_maps`: pictures of it.

A target's state is its own: the job keeps it in the checkpoint and hands it back.
"""
