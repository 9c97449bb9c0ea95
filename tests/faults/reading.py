"""Reads back what a cluster holds: everything, from each node by itself, or one level through all of them."""

from support.resp import encode

_BATCH = 1000


def settle(cluster):
    """Every node has applied everything acknowledged so far: each answers a linearizable read."""
    for node in cluster.nodes:
        with node.connect(20) as connection:
            connection.ask("GET", "nothing")


def read_locally(node, keys):
    """What this node itself holds, by READONLY reads in pipelines: key → value or None."""
    found = {}
    with node.connect(20) as connection:
        connection.ask("READONLY")
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            connection.send(b"".join(encode(("GET", key)) for key in batch))
            replies = connection.read_all(len(batch))
            for key, reply in zip(batch, replies, strict=True):
                assert reply.value.kind in "$_", (node, key, reply.raw[:200])
                found[key] = reply.value.data
    return found


def differences(expected, found):
    """Keys whose value is not the expected one; the first few are shown by the caller."""
    return [key for key, value in expected.items() if found.get(key) != value]


def assert_held_by_all(cluster, expected):
    """Every expected key is equal on every node."""
    settle(cluster)
    keys = list(expected)
    for node in cluster.nodes:
        found = read_locally(node, keys)
        wrong = differences(expected, found)
        shown = [(key, expected[key][:60], (found[key] or b"(nil)")[:60]) for key in wrong[:5]]
        assert not wrong, f"{node}: {len(wrong)} of {len(keys)} keys are wrong, such as {shown}"
