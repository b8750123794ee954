"""Learns a scenario of what an installation says: messages in, a fleet of as many devices as one likes out.

In the order in which data flows: `capture` and `listening` bring what was heard, `recognition` finds the dialects,
`topics` the devices of the rest, `payloads` and `payload_mapping` where their values stand, `intervals` and
`change_beat` when they speak, `field_models` what makes each value (by `moments`, with `daily_course`,
`shared_course`, `drift_fit` and `noise_fit`), `correlation` which go along, `scenario_writer` writes it down, and
`comparison` sets both side by side. `privacy` says which words of the installation may be in any of it.
"""
