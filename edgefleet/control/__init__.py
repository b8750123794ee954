"""Controls a run from outside, over HTTP: what can be asked of it, who may ask, and what is written down of it.

What can be asked for is in `devices.scenario.actions`. `controller` carries it out, on the event loop of the run, and
keeps the account of it for the run record; `steps` asks for what the scenario says; `changes` makes the scenario that a
change leads to, `outage` takes the embedded broker away, `bridge_actions` reaches the bridge. `status` says how the run
is, `bridge_status` and `store_status` how what lies behind it is, by the pages that `metrics_page` reads, and
`flow_problems` what holds messages up; `run_map` tells where devices are. `server` has a thread and an event loop of
its own, so that whoever asks disturbs no device: `guard` lets in who may come, `api` has the routes, `events` the
listeners. `client` is the other end, `page` what a browser is given.
"""
