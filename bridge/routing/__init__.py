"""Decides where a message goes: a pure table from topic and payload to the targets of each sink.

- `config`: a row of the table as the configuration has it.
- `contract`, `validation`, `sampling`: what a row may name, and the rules it may have.
- `table`: finds the row of a message; the first place that looks into a payload.
- `routed`: what comes out: an event with its route, or why there is none.

No I/O, and no state but what is remembered of topics. Sinks know `routed` and `contract` alone.
"""
