"""Faults on purpose: what goes wrong with which device when, and the truth about it.

`model` is the calendar as the scenario writes it, `schedule` says when a fault is there, `effects` what it makes of a
reading, `plan` applies a calendar to readings, `truth` finds the messages that show it, `labels` is what is written.
"""
