"""Weather beside that of real stations: `python -m benchmarks.realism` writes tables and pictures of docs/realism.md.

`stations` has the real readings and the emulated ones of the same places, `weather_statistics` what is compared,
`judges` how well a model tells the one from the other, `detectors` how well faults are found in either, `plots` and
`page` what is written of it. Seeds are not those of the tests.
"""
