"""Shows a fleet while it runs, and what it leaves behind.

`live` shows its snapshots as a table or in log lines, `fleet_metrics` serves them to Prometheus, `device_table` writes
a row a device beside the run record. Nothing here asks the fleet for more than its snapshots and its record.
"""
