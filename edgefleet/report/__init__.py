"""Shows a fleet while it runs, and what it leaves behind.

`live` shows its snapshots as a table or in log lines, `fleet_metrics` serves them to Prometheus, `run_files` writes the
run record and what is beside it, such as the `device_table`. `broker_tail` shows what passes through a broker.
Nothing here asks the fleet for more than its snapshots
and its record.
"""
