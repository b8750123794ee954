"""Roads: one plan that every site bends, and the ways through it."""

import numpy as np

from devices.world.components import components
from devices.world.roads import CLASSES, MOTORWAY, NODES, STOPS, plan
from devices.world.world import Site, World

SITE = Site(name="a", latitude=48, longitude=2)


def test_every_stop_can_be_reached_from_every_other() -> None:
    network = plan()
    for start in np.unique(STOPS):
        node, steps = np.full(NODES, start), 0
        while (node != np.arange(NODES)).any():
            link = network.next_link[node, np.arange(NODES)]
            node = np.where(link >= 0, network.link_to(link), node)
            steps += 1
            assert steps < 30


def test_sites_have_roads_of_their_own_shape_and_of_every_type() -> None:
    world = World.build(5, [SITE, Site(name="b", latitude=50, longitude=3)])
    assert {CLASSES[kind].road_type for kind in components(world).roads.plan.road_class} == {"city", "highway", "rural"}
    assert (components(world).roads.length_m > 250).all()
    assert np.abs(components(world).roads.length_m[0] - components(world).roads.length_m[1]).max() > 100
    tunnels = components(world).roads.tunnel_m[..., 1] > 0
    assert tunnels.any()
    assert (components(world).roads.tunnel_m[..., 1] < components(world).roads.length_m).all()
    assert components(world).roads.canyon.any()
    assert not components(world).roads.canyon[:, components(world).roads.plan.road_class == MOTORWAY].any()
