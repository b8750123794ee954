"""A Ray cluster of two nodes on this machine, for tests: prints its address, and ends with its stdin.

In a process of its own, so that Ray's threads and warnings are not the tests'. `ray start` would not do: it turns
127.0.0.1 into the machine's address and listens on all of them.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 2, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1", "include_dashboard": False}

cluster = Cluster(initialize_head=True, head_node_args=dict(NODE))
cluster.add_node(wait=True, **NODE)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
