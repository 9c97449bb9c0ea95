"""Writers and readers at every node of a cluster, as one thing to start, stop and judge."""

import threading

from .clients import Reader, Writer
from .history import lost, violations
from .reading import read_locally, settle

_KEYS_PER_WRITER = 20


class Load:
    """Two writers and two readers at each node; nobody reconnects unless the connection dies."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.stopping = threading.Event()
        places = [node for node in cluster.nodes for _ in range(2)]
        owned = [[b"w%d:%d" % (number, key) for key in range(_KEYS_PER_WRITER)] for number in range(len(places))]
        self.keys = [key for keys in owned for key in keys]
        self.writers = [
            Writer(node, self.stopping, keys, number)
            for number, (node, keys) in enumerate(zip(places, owned, strict=True))
        ]
        self.readers = [Reader(node, self.stopping, self.keys, -number) for number, node in enumerate(places)]

    def __enter__(self):
        for client in [*self.writers, *self.readers]:
            client.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for client in [*self.writers, *self.readers]:
            if kind is None:
                client.finish(30)
            else:
                client.join(30)

    def errors(self, nodes=None, since=0.0):
        """Error replies to clients of these nodes."""
        found = []
        for client in [*self.writers, *self.readers]:
            if nodes is None or client.node in nodes:
                found.extend(raw for moment, raw in list(client.errors) if moment >= since)
        return found

    def acknowledged(self, nodes=None):
        """How many writes clients of these nodes know to be done."""
        return sum(
            sum(write.fate == "acknowledged" for write in list(writer.writes))
            for writer in self.writers
            if nodes is None or writer.node in nodes
        )

    def judge(self):
        """After the clients have stopped: nothing stale, nothing lost, all nodes equal."""
        writes = [write for writer in self.writers for write in writer.writes]
        reads = [read for reader in self.readers for read in reader.reads]
        wrong = violations(writes, reads)
        assert not wrong, f"{len(wrong)} of {len(reads)} reads are wrong: {wrong[:5]}"
        settle(self.cluster)
        states = {node.name: read_locally(node, self.keys) for node in self.cluster.nodes}
        first, *others = states.values()
        assert all(other == first for other in others), "the nodes differ"
        final = {key: int(value) for key, value in first.items() if value is not None}
        gone = lost(writes, final)
        assert not gone, f"{len(gone)} acknowledged writes are lost: {gone[:5]}"
        return len(writes), len(reads)
