"""Kinds that a scenario declares itself: fields by their generators and formulas, without code.

`config` is what stands under `kinds:`, `generators` and `formula` compute the values, `signals` are what the world says
to them, and `kind` makes of a declaration what every other kind is: a contract, a sensor, and what is shown of it. From
outside: `config` and `kind`.
"""
