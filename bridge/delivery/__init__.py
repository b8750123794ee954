"""From the spool to a sink: order, retries and books, the same for every sink.

`retry` runs a sink and a `worker` each of its lanes; `lane` decides what may be written next, `progress` keeps the
cursor, `connection` the sink connected, `dead_letters` what is given up.
"""
