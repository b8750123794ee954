"""An example of a package with plug-ins for edgefleet: a kind of device, a dialect and a sink of the bridge."""
