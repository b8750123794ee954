"""Everything that pretends to be hardware: a device is sensor + firmware + link.

`world` and `sensors` say what is measured, `firmware` decides what a device does with it, `fleet` does the I/O.
`timeline` joins the first two without a broker, so a live run and an export give the same bytes.
"""
