"""The two places where a client may come in."""

import pytest

from support.wire import Connection


@pytest.fixture(params=["leader", "follower"])
def entry(request, cluster):
    """`host, port` of a node in this role; the databases are empty."""
    leader = cluster.leader()
    node = leader if request.param == "leader" else cluster.followers(leader)[0]
    with Connection(node.address) as connection:
        connection.ask("FLUSHALL")
    host, _, port = node.address.rpartition(":")
    return host, int(port)
