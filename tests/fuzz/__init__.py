"""Bytes from outside, changed at random where they lead to code that was not run yet: docs/security.md.

`targets` is what is fuzzed, `worker` fuzzes one target in a process of its own, `campaign` fuzzes them all.
"""
