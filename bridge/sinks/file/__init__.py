"""The file sink: messages as lines that are on disk before they count as delivered.

- `config`: its settings, and its target in a route.
- `sink`: which line goes where; its threads.
- `folder`: the lock, the files that are open, and those that are too old.
- `rotating_file`: one file that grows by whole lines and is put aside.

Other parts of the bridge use `config` and `sink` alone.
"""
