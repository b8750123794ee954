"""Plays back what was recorded: files of readings, as what a device measures.

`config` is what stands under `replay:` in a group, `targets` tells which fields a kind takes from a file. `rows` and
`parquet_file` read the files, `loading` checks them, `recording` answers what a device had last, and `player`
is what a sensor asks. From outside: `config`, `loading`, `player` and `sensor`.
"""
