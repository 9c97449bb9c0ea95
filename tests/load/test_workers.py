"""Several workers: sockets on I/O threads, sessions on one. Order, back-pressure and endings are as with one thread."""

import asyncio
import contextlib
import os
import random
import threading
import time

import pytest
from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Closed

_MIB = 1 << 20
_CLIENTS = 1000
# No turn of any worker may take more; a build for development takes about twice as long as one for release.
LONGEST_TURN_US = 20_000
# All sockets are on I/O threads from the start.
SPREAD = ["--workers", "4", "--workers-busy-percent", "0"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("spread"), nodes=1, extra=["--durability", "none", *SPREAD]) as cluster:
        yield cluster.nodes[0]


def figures(node, section):
    with node.connect(30.0) as connection:
        text = connection.ask("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def connections_of(node):
    """Connections whose sockets each worker has, as of the last look at the load; the first one executes."""
    told = figures(node, "server")
    counts = [told[f"worker{number}"] for number in range(int(told["workers"]))]
    return [int(words.split("connections=")[1].split(",")[0]) for words in counts]


def bulk(value):
    return b"$%d\r\n%s\r\n" % (len(value), value)


class Script:
    """What one client sends and must hear, byte by byte, on keys that are its own."""

    def __init__(self, name, seed):
        self.key, self.counter = b"k:%s" % name, b"n:%s" % name
        self.random = random.Random(seed)
        self.count = 0
        self.value = None

    def _step(self):
        """A request, or a block of them, and what is answered."""
        kind = self.random.randrange(6)
        if kind == 0:
            self.value = b"%d" % self.random.getrandbits(60) * self.random.choice((1, 1, 1, 300))
            return encode(("SET", self.key, self.value)), b"+OK\r\n"
        if kind == 1:
            self.count += 1
            return encode(("INCR", self.counter)), b":%d\r\n" % self.count
        if kind == 2:
            self.count += 2
            words = [("MULTI",), ("INCRBY", self.counter, "2"), ("GET", self.counter), ("EXEC",)]
            expected = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:%d\r\n" % self.count + bulk(b"%d" % self.count)
            return b"".join(encode(request) for request in words), expected
        if kind == 3:
            word = b"%d" % self.random.getrandbits(30)
            return encode(("ECHO", word)), bulk(word)
        return encode(("GET", self.key)), b"$-1\r\n" if self.value is None else bulk(self.value)

    def pipeline(self):
        steps = [self._step() for _ in range(self.random.choice((1, 1, 2, 8, 24)))]
        return b"".join(sent for sent, _ in steps), b"".join(heard for _, heard in steps)


async def _converse(address, script, rounds, pause):
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for _ in range(rounds):
            sent, expected = script.pipeline()
            # In two parts, so that requests are cut anywhere.
            cut = script.random.randrange(len(sent))
            writer.write(sent[:cut])
            await asyncio.sleep(pause())
            writer.write(sent[cut:])
            heard = await asyncio.wait_for(reader.readexactly(len(expected)), 60)
            assert heard == expected
    finally:
        writer.close()


def converse(address, clients, rounds, pause=lambda: 0, name=b""):
    async def all_of_them():
        scripts = [Script(b"%s%d" % (name, number), number) for number in range(clients)]
        await asyncio.gather(*(_converse(address, script, rounds, pause) for script in scripts))

    asyncio.run(all_of_them())


def test_a_thousand_clients_hear_their_own_replies_in_order(node):
    with node.connect() as connection:
        connection.ask("CONFIG", "RESETSTAT")
    converse(node.address, _CLIENTS, 4)
    assert figures(node, "server")["io_threads_active"] == "1"
    assert int(figures(node, "stats")["worker_busy_cpu_max_usec"]) < LONGEST_TURN_US
    with node.connect() as connection:
        wait_until("all sockets are on I/O threads", lambda: connections_of(node)[0] == 0)
        assert connection.ask("CONFIG", "GET", "io-threads") == [b"io-threads", b"4"]


class Talk:
    """A client without a script."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def hear(self, expected):
        heard = await asyncio.wait_for(self.reader.readexactly(len(expected)), 60)
        assert heard == expected, heard[:200]

    async def ask(self, expected, *words):
        self.writer.write(encode(words))
        await self.hear(expected)


@contextlib.asynccontextmanager
async def talk(address):
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


async def _watch(address, number, rounds):
    """Two clients of one key: a block is executed unless the other one has written in between."""
    key = b"watched:%d" % number
    async with talk(address) as one, talk(address) as other:
        for turn in range(rounds):
            mine, theirs = b"one%d" % turn, b"other%d" % turn
            await one.ask(b"+OK\r\n", "WATCH", key)
            await one.ask(b"+OK\r\n", "MULTI")
            await one.ask(b"+QUEUED\r\n", "SET", key, mine)
            if turn % 2:
                await other.ask(b"+OK\r\n", "SET", key, theirs)
            await one.ask(b"*-1\r\n" if turn % 2 else b"*1\r\n+OK\r\n", "EXEC")
            await other.ask(bulk(theirs if turn % 2 else mine), "GET", key)


async def _read_late(address, value, is_over):
    """Asks for more than all windows hold, and reads nothing before everybody else has done."""
    async with talk(address) as slow:
        slow.writer.write(encode(("GET", "long")) * 4 + encode(("PING",)))
        await is_over.wait()
        for _ in range(4):
            await slow.hear(bulk(value))
        await slow.hear(b"+PONG\r\n")


async def _flood(address, number):
    """Sends more than a connection may have waiting, before it reads a reply."""
    key, count = b"flood:%d" % number, 150
    async with talk(address) as flood:
        for turn in range(count):
            flood.writer.write(encode(("SET", key, b"%d:" % turn + b"x" * 20_000)))
            flood.writer.write(encode(("STRLEN", key)))
        expected = (b"+OK\r\n:%d\r\n" % (20_001 + len(str(turn))) for turn in range(count))
        await flood.hear(b"".join(expected))


def test_a_thousand_clients_of_all_kinds_hold_each_other_up_in_nothing(node):
    two_cores = sorted(os.sched_getaffinity(0))[:2]
    for thread in os.listdir(f"/proc/{node.pid}/task"):
        os.sched_setaffinity(int(thread), two_cores)
    value = random.Random(9).randbytes(_MIB)
    with node.connect(30.0) as connection:
        connection.ask("SET", "long", value)
    watchers, late, floods = 50, 20, 20
    scripts = [Script(b"mixed%d" % number, 5000 + number) for number in range(_CLIENTS - 2 * watchers - late - floods)]

    async def all_of_them():
        is_over = asyncio.Event()
        readers = [asyncio.create_task(_read_late(node.address, value, is_over)) for _ in range(late)]
        others = [_converse(node.address, script, 3, lambda: 0) for script in scripts]
        others += [_watch(node.address, number, 6) for number in range(watchers)]
        others += [_flood(node.address, number) for number in range(floods)]
        try:
            await asyncio.gather(*others)
        finally:
            is_over.set()
        await asyncio.gather(*readers)

    asyncio.run(all_of_them())
    with node.connect() as connection:
        wait_until("all sockets are on I/O threads", lambda: connections_of(node)[0] == 0)
        assert connection.ask("PING") == b"PONG"


def test_clients_are_spread_evenly_and_listed_and_killed_wherever_they_are(node):
    others = [node.connect() for _ in range(30)]
    numbers = [other.ask("CLIENT", "ID") for other in others]
    wait_until("all workers but the first have some", lambda: min(connections_of(node)[1:]) >= 5)
    with node.connect() as connection:
        lines = connection.ask("CLIENT", "LIST").decode().splitlines()
        told = {int(line.split("id=")[1].split()[0]): line for line in lines}
        for other, number in zip(others, numbers, strict=True):
            host, port = other.socket.getsockname()
            assert f" addr={host}:{port} " in told[number], told[number]
            assert " fd=-1 " not in told[number]
        for number in numbers[:10]:
            assert connection.ask("CLIENT", "KILL", "ID", number) == 1
    for other in others[:10]:
        with pytest.raises(Closed):
            other.read()
    for other in others[10:]:
        assert other.ask("PING") == b"PONG"
        other.close()


def test_a_watched_key_that_another_worker_s_client_changes_voids_the_block(node):
    for number in range(40):
        with node.connect() as one, node.connect() as other:
            one.ask("WATCH", "w")
            one.ask("MULTI")
            one.ask("SET", "w", f"one{number}")
            if number % 2:
                other.ask("SET", "w", f"other{number}")
            done = one.ask("EXEC")
            assert (done is None) == bool(number % 2)
            expected = f"other{number}" if number % 2 else f"one{number}"
            assert other.ask("GET", "w") == expected.encode()


def test_who_reads_nothing_holds_nobody_up_and_gets_all_of_it_at_last(node):
    value = random.Random(7).randbytes(8 * _MIB)
    with node.connect(60.0) as connection, node.connect(60.0) as slow, node.connect() as never:
        connection.ask("SET", "long", value)
        numbers = [slow.ask("CLIENT", "ID"), never.ask("CLIENT", "ID")]
        for one in (slow, never):
            one.send(encode(("GET", "long")) * 8 + encode(("PING",)))

        def unsent(number):
            line = connection.ask("CLIENT", "LIST", "ID", number).decode()
            told = dict(word.split("=", 1) for word in line.split())
            return int(told["omem"]) + int(told["rbs"])

        # They stay with the session, whose limits count them, and not with the thread that has the socket.
        wait_until("replies pile up", lambda: min(unsent(number) for number in numbers) > 2 * _MIB)
        converse(node.address, 50, 4, name=b"meanwhile")
        for _ in range(8):
            assert slow.read().value.data == value
        assert slow.read().raw == b"+PONG\r\n"
        assert connection.ask("CLIENT", "KILL", "ID", numbers[1]) == 1
        wait_until("it is gone", lambda: connection.ask("CLIENT", "LIST", "ID", numbers[1]) == b"")


def test_a_long_request_arrives_whole_and_a_client_that_goes_is_gone(node):
    value = random.Random(8).randbytes(24 * _MIB)
    with node.connect(60.0) as connection:
        assert connection.ask("SET", "whole", value) == b"OK"
        assert connection.ask("GET", "whole") == value
        count = lambda: int(figures(node, "clients")["connected_clients"])
        before = count()
        crowd = [node.connect() for _ in range(50)]
        for number, one in enumerate(crowd):
            one.send(encode(("SET", "half", b"x" * 100_000))[: 50_000 * (number % 2) + 10])
        wait_until("they are there", lambda: count() == before + 50)
        for one in crowd:
            one.close()
        wait_until("they are gone", lambda: count() == before)
        # Everything that was asked is answered before the connection ends.
        with node.connect() as last:
            last.send(encode(("GET", "whole")) + encode(("QUIT",)))
            assert last.read(60).value.data == value
            assert last.read().raw == b"+OK\r\n"
            with pytest.raises(Closed):
                last.read()


def burst(connections, seconds):
    """Keeps the node busier than a test can with requests that it has to check one by one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for connection in connections:
            connection.send(encode(("ECHO", "burst")) * 5_000 + encode(("PING",)))
        for connection in connections:
            heard = bytearray()
            while not heard.endswith(b"+PONG\r\n"):
                heard += connection.socket.recv(1 << 20)
            assert bytes(heard) == bulk(b"burst") * 5_000 + b"+PONG\r\n"


def test_sockets_move_to_and_fro_under_load_and_no_byte_is_lost(tmp_path):
    options = ["--durability", "none", "--workers", "4", "--workers-busy-percent", "20"]
    with Cluster(tmp_path, nodes=1, extra=options) as cluster:
        node = cluster.nodes[0]
        slowly = threading.Thread(
            target=converse, args=(node.address, 60, 60), kwargs={"pause": lambda: 0.05, "name": b"slow"}
        )
        slowly.start()
        moves = []
        crowd = [node.connect(30.0) for _ in range(4)]
        while slowly.is_alive():
            # A burst makes the first worker busy, a pause makes it idle.
            for act in (lambda: burst(crowd, 0.5), lambda: time.sleep(0.4)):
                act()
                moves.append(sum(connections_of(node)[1:]))
        slowly.join()
        for connection in crowd:
            connection.close()
        steps = list(zip(moves, moves[1:], strict=False))
        assert any(before < after for before, after in steps), f"nobody has moved: {moves}"
        wait_until("the idle node has its sockets back", lambda: sum(connections_of(node)[1:]) == 0)


def test_clients_of_other_nodes_go_on_when_the_leader_is_killed(tmp_path):
    with Cluster(tmp_path, extra=SPREAD) as cluster:
        leader = cluster.leader()
        survivors = cluster.followers(leader)
        crowd = [node.connect(30.0) for node in survivors for _ in range(20)]
        doomed = [leader.connect(30.0) for _ in range(20)]
        for number, one in enumerate(crowd + doomed):
            one.send(encode(("SET", f"before{number}", "1")))
        for one in crowd + doomed:
            assert one.read().raw == b"+OK\r\n"
        for number, one in enumerate(crowd):
            one.send(b"".join(encode(("INCR", f"count{number}")) for _ in range(10)))
        leader.kill()
        for one in doomed:
            with pytest.raises(Closed):
                one.read()
        for one in crowd:
            assert [one.read().raw for _ in range(10)] == [b":%d\r\n" % count for count in range(1, 11)]
        for one in crowd:
            one.close()
