"""Weather and devices beside real ones: `python -m benchmarks.realism` writes tables and pictures of docs/realism.md.

`stations` has the real readings and the emulated ones of the same places, `weather_statistics` what is compared,
`judges` how well a model tells the one from the other, `detectors` how well faults are found in either, `plots` what is
drawn of it. `device_table` has devices in both worlds beside what is expected, of `trip_statistics`,
`receiver_statistics` and `sensor_statistics`. Seeds are not those of the tests.
"""
