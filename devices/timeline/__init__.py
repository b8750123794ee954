"""The timeline: scenario x window of time -> messages, without a clock or a broker. A live run and an export read it.

In the order of the data: `schedule` says when the devices of a group measure, `overrides` what commands changed of
that, `group` asks the sensor for its readings and numbers them (`table` holds them as columns), `timeline` applies
the faults, finds the labels (`label_finder`) and writes payloads in the devices' `wire_format`: `native_format`, whose
hot path is `encode`, or `dialect_format`, which joins `field_texts`; `formats` makes those of a scenario.
`annotations` adds what an export is asked for beside the messages.
From outside: `timeline.Timeline`, the tables and batches that it gives, and the text helpers of `encode`.
"""
