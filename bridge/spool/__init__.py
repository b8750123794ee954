"""Keeps messages safe: everything between PUBACK and the last sink lives in one SQLite file.

In the order that data flows: `spool` commits in groups from a thread of its own (what the rest of the bridge uses),
`store` is the file as its one writer sees it, `retention` deletes what every sink is done with (`bitmap` says what
that is), `capacity` says when it is full, `reader` reads it for the sinks. For people: `accounting` counts what is in
it, `dead_letters` looks at, replays and discards what was given up. Beneath all: `message` (the records), `sqlite` (the
tables, the lock, the errors) and `config`. Only `store` and `dead_letters` write to the file.
"""
