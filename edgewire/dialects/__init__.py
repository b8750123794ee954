"""How devices of other makers write what they say.

A dialect is one file. It knows the names, units, retain flags and quirks of one firmware or gateway, and where they
were read. `base` says what a decoder gives; `units`, `times` and `values` hold what is the same for all: what a unit
means, what a time without a zone is worth, and what counts as no value. `encoder` says what an emulated device of a
dialect publishes: templates in the notation of `own_format`, which `payload_template` takes apart. Pure: no I/O, no
clock.
"""
