"""Links between nodes: who has no certificate of a node of this cluster gets nothing in and nothing out, and both
sides say why.
"""

import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

from bad_input import peers
from support.nodes import Cluster, binary
from support.pki import DAY, HOUR, Authority, node_context, wrap
from support.processes import run_tool
from support.redis_server import free_port
from support.waiting import wait_until

from .fleet import NAMES, Fleet, Proxy, new_secret, writes

OTHER_AUTHORITY = "comes from another authority"
NOT_A_NODE = "not a node's"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A cluster, and the authority that its secret stands for."""
    folder = tmp_path_factory.mktemp("guarded")
    with Cluster(folder) as cluster:
        yield cluster, Authority.of_secret(folder / "pki", folder / "dev/cluster.secret")


def log_of(cluster, node):
    return (cluster.directory / "dev" / f"{node.name}.log").read_text()


def frames_for(address, pair):
    """What a node says to who greets with a certificate: nothing, or bytes of a greeting."""
    with contextlib.suppress(OSError), wrap(peers.connect(address), pair) as stream:
        stream.sendall(peers.Identity(1, 1, 1).frame(peers.HELLO, b"\xff" * 40))
        stream.settimeout(5)
        return stream.recv(65536)
    return b""


def bad_pairs(authority, folder):
    """(reason, certificate and key) of everything that is nearly a node."""
    other = Authority.fresh(folder / "other", authority.cluster)
    return {
        "another secret": (OTHER_AUTHORITY, other.issue("n1")),
        "expired": ("ended", authority.issue("n1", begin=-3 * DAY, end=-2 * DAY)),
        "not yet valid": ("begins only in", authority.issue("n1", begin=5 * HOUR, end=DAY)),
        "a client": (NOT_A_NODE, authority.issue("app", uri="", usages="clientAuth")),
        "a client that calls itself a node": (NOT_A_NODE, authority.issue("n1", usages="clientAuth")),
        "a server": (NOT_A_NODE, authority.issue("n1", usages="serverAuth")),
        "any usage": (NOT_A_NODE, authority.issue("n1", usages="")),
        "no name": (NOT_A_NODE, authority.issue("n1", uri="")),
        "another role": (NOT_A_NODE, authority.issue("n1", uri=f"repligo://{authority.cluster}/client/n1")),
        "another cluster": ("which is another one", authority.issue("n1", uri="repligo://elsewhere/node/n1")),
        "no certificate": ("shows no certificate", None),
    }


@pytest.mark.timeout(120)
def test_only_a_certificate_of_a_node_of_this_cluster_gets_a_greeting(guarded, tmp_path):
    cluster, authority = guarded
    node = cluster.nodes[2]
    for case, (reason, pair) in bad_pairs(authority, tmp_path).items():
        before = log_of(cluster, node).count(reason)
        assert frames_for(node.peer, pair) == b"", case
        wait_until(f"{case}: {reason}", lambda: log_of(cluster, node).count(reason) > before, 10)
    assert frames_for(node.peer, authority.issue("n1")) != b"", "the right certificate is answered"


@pytest.mark.timeout(60)
def test_a_certificate_of_one_node_is_no_good_for_the_number_of_another(guarded):
    cluster, authority = guarded
    node = cluster.nodes[2]
    pair = authority.issue("n1")
    with wrap(peers.connect(node.peer), pair) as stream:
        words = peers.hello(b"n2", [b"n1", b"n2", b"n3"], bytes(16), (peers.FORMED, 1), 2)
        stream.sendall(peers.Identity(1, 2, 1).frame(peers.HELLO, words))
        kind, _, answer = peers.read_frame(stream)
    assert kind == peers.REFUSED and b"name different nodes" in answer
    wait_until("the node says so", lambda: "the certificate is that of n1" in log_of(cluster, node), 10)


@pytest.mark.timeout(60)
def test_a_stranger_is_told_nothing_and_plain_text_is_called_so(guarded):
    cluster, _ = guarded
    node = cluster.nodes[2]
    before = log_of(cluster, node).count("speaks plain text on a TLS port")
    for first in (peers.Identity(1, 1, 1).frame(peers.HELLO, b"x" * 40), b"PING\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with peers.connect(node.peer) as stream:
            stream.sendall(first)
            answer = b""
            with contextlib.suppress(OSError):
                while more := stream.recv(65536):
                    answer += more
        # At most an alert of TLS.
        assert len(answer) <= 7 and answer[:1] in (b"", b"\x15"), answer
    wait_until("said", lambda: log_of(cluster, node).count("speaks plain text on a TLS port") > before, 10)


def dialled(flags, folder, pair, plain=b""):
    """n1 dials us in place of n2; returns (what it sent after the handshake, its log, what our side of TLS said)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        via = {("n1", "n2"): "127.0.0.1:{}".format(listener.getsockname()[1])}
        heard, said = b"", ""
        fleet = Fleet(folder, {"n1": flags, "n2": []}, names=("n1", "n2"), via=via)
        fleet["n1"].start()
        try:
            stream, _ = listener.accept()
            stream.settimeout(10)
            if plain:
                stream.sendall(plain)
                with contextlib.suppress(OSError):
                    while stream.recv(65536):
                        pass
            else:
                try:
                    with node_context(pair, server=True).wrap_socket(stream, server_side=True) as tls:
                        heard = tls.recv(65536)
                except OSError as error:
                    said = str(error)
            time.sleep(0.5)
        finally:
            fleet["n1"].stop()
        return heard, fleet["n1"].text(), said


@pytest.mark.timeout(180)
def test_a_node_that_dials_tells_its_greeting_to_nodes_alone(tmp_path):
    secret = new_secret(tmp_path / "secret")
    authority = Authority.of_secret(tmp_path / "pki", secret)
    flags = ["--cluster-secret-file", secret]
    cases = bad_pairs(authority, tmp_path)
    del cases["no certificate"]
    for number, (case, (reason, pair)) in enumerate(cases.items()):
        heard, log, said = dialled(flags, tmp_path / str(number), pair)
        assert heard == b"" and reason in log, (case, log)
        assert "alert" in said.lower(), (case, said)
    heard, log, _ = dialled(flags, tmp_path / "elsewhere", authority.issue("n3"))
    assert heard[:3] != b"RPL" or heard[8:9] == bytes([peers.REFUSED]), heard
    assert "n3 answers at the address of another node" in log, log
    heard, log, _ = dialled(flags, tmp_path / "right", authority.issue("n2"))
    assert heard.startswith(b"RPL") and heard[8] == peers.HELLO
    _, log, _ = dialled(flags, tmp_path / "plain", None, plain=b"RPL\x01" + bytes(60))
    assert "speaks plain text on a TLS port" in log, log


@pytest.mark.timeout(120)
def test_both_sides_say_why_there_is_no_link(tmp_path):
    def flags(name):
        return ["--cluster-secret-file", new_secret(tmp_path / f"{name}.secret")]

    first = flags("first")
    with Fleet(tmp_path / "secrets", {"n1": first, "n2": flags("second")}, names=("n1", "n2")) as fleet:
        fleet["n1"].says("the certificate of the other side comes from another authority")
        fleet["n2"].says("the other side does not know the authority of this node's certificate")
    # Only one of the two speaks TLS: whoever dials.
    plain = ["--insecure-peers"]
    with Fleet(tmp_path / "dialler", {"n1": first, "n2": plain}, names=("n1", "n2")) as fleet:
        fleet["n1"].says("speaks plain text on a TLS port")
        fleet["n2"].says("the other side speaks TLS, and this node was started with --insecure-peers")
        fleet["n2"].says("anybody who reaches the peer port is taken for a node")
    with Fleet(tmp_path / "acceptor", {"n1": plain, "n2": first}, names=("n1", "n2")) as fleet:
        fleet["n1"].says("the other side speaks TLS, and this node was started with --insecure-peers")
        fleet["n2"].says("speaks plain text on a TLS port")


@pytest.mark.timeout(120)
def test_recorded_and_changed_bytes_are_not_taken(tmp_path):
    """A proxy between n1 and n2 keeps, changes, replays and splices what passes."""
    secret = new_secret(tmp_path / "secret")
    flags = dict.fromkeys(NAMES, ["--cluster-secret-file", secret])
    proxy = Proxy()
    fleet = Fleet(tmp_path / "nodes", flags, via={("n1", "n2"): proxy.address})
    proxy.target = fleet.addresses["n2"]
    with contextlib.closing(proxy), fleet:
        fleet.wait_until_ready()
        for number in range(50):
            assert fleet["n1"].ask("SET", f"k{number}", number) == b"OK"
        recorded = bytes(proxy.heard[0])
        assert len(recorded) > 1000 and b"RPL\x01" not in recorded, "nothing is in plain text"
        ups = fleet["n2"].text().count("peer link up peer=n1")
        with peers.connect(fleet.addresses["n2"]) as stream, contextlib.suppress(OSError):
            stream.sendall(recorded)
            stream.settimeout(3)
            while stream.recv(65536):
                pass
        assert fleet["n2"].text().count("peer link up peer=n1") == ups, "a replay opens no link"

        def splice(direction, number, data):
            if direction == "there" and number == 1 and len(proxy.heard[1]) > 4000:
                return recorded[2000:]
            return data

        def flip(direction, number, data):
            if direction == "there" and number == 2 and len(proxy.heard[2]) > 4000:
                return data[:-1] + bytes([data[-1] ^ 1])
            return data

        for number, change in ((1, splice), (2, flip)):
            proxy.change = change
            proxy.cut()
            wait_until("a new link", lambda number=number: len(proxy.heard) > number, 20)
            # Traffic until the change comes: the link with it ends, and another one takes its place.
            for write in range(2000):
                assert fleet["n1"].ask("SET", f"w{number}", write) == b"OK"
                if len(proxy.heard) > number + 1:
                    break
            wait_until("the link was replaced", lambda number=number: len(proxy.heard) > number + 1, 20)
        writes(fleet["n2"], "after")
        for member in fleet.members:
            assert member.process.is_running(), member.process.tail()
            assert member.ask("GET", "k49") == b"49"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.timeout(180)
def test_a_thousand_half_open_handshakes_harm_nobody(tmp_path):
    with Cluster(tmp_path) as cluster:
        idle = {node.name: descriptors(node.pid) for node in cluster.nodes}
        most, strangers, over = dict(idle), [], threading.Event()

        def crowd():
            """Opens connections to all nodes and completes none; every other one says the first part of a hello."""
            while not over.is_set():
                for node in cluster.nodes:
                    with contextlib.suppress(OSError):
                        stream = peers.connect(node.peer)
                        strangers.append(stream)
                        if len(strangers) % 2:
                            stream.sendall(b"\x16\x03\x01\x01\x00")
                    with contextlib.suppress(OSError):
                        most[node.name] = max(most[node.name], descriptors(node.pid))
                if len(strangers) > 1000:
                    strangers.pop(0).close()

        thread = threading.Thread(target=crowd)
        thread.start()
        try:
            wait_until("a thousand are open", lambda: len(strangers) >= 1000, 60)
            for number in range(300):
                with cluster.nodes[number % 3].connect() as connection:
                    assert connection.call("SET", f"k{number}", number).raw == b"+OK\r\n"
            # A node that comes back while they are there finds the others.
            victim = cluster.followers()[0]
            victim.kill()
            victim.start(tmp_path / "again.log")
            wait_until("it serves again", lambda: victim.role() == "follower", 30, pause=0.1)
            with victim.connect() as connection:
                assert connection.ask("GET", "k299") == b"299"
        finally:
            over.set()
            thread.join(20)
            for stream in strangers:
                stream.close()
        for node in cluster.nodes:
            assert most[node.name] < idle[node.name] + 100, (most, idle)
        assert "whose handshake is not over" in cluster.logs(10_000)


@pytest.mark.timeout(180)
def test_a_secret_is_replaced_under_load_without_a_failed_command(tmp_path):
    old, new = (new_secret(tmp_path / name).read_text() for name in ("old", "new"))
    files = {name: tmp_path / f"{name}.secret" for name in NAMES}

    def put(name, text):
        temporary = tmp_path / "temporary"
        temporary.touch(mode=0o600)
        temporary.write_text(text)
        temporary.rename(files[name])

    for name in NAMES:
        put(name, old)
    flags = {name: ["--cluster-secret-file", files[name]] for name in NAMES}
    with Fleet(tmp_path / "nodes", flags) as fleet:
        fleet.wait_until_ready()
        failed, done, over = [], [0], threading.Event()

        def load(member):
            with member.connect(30) as connection:
                while not over.is_set():
                    reply = connection.call("SET", member.name, done[0]).raw
                    done[0] += 1
                    if reply != b"+OK\r\n":
                        failed.append(reply)

        threads = [threading.Thread(target=load, args=(member,)) for member in fleet.members]
        for thread in threads:
            thread.start()
        try:
            reads = 0
            for text in (old + new, new + old, new):
                reads += 1
                for member in fleet.members:
                    put(member.name, text)
                    wait_until(
                        f"{member.name} has read it",
                        lambda member=member, reads=reads: member.text().count("were read again") >= reads,
                        10,
                    )
                    time.sleep(0.3)
            links = [member.text().count("peer link up") for member in fleet.members]
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
        assert not failed and done[0] > 100, (failed[:3], done)
        assert links == [2, 2, 2], "links that existed went on"
        # The new secret is what counts now, and it alone.
        member = fleet["n3"]
        member.stop()
        member.start()
        writes(member, "again")
        member.stop()
        put("n3", old)
        member.start()
        member.says("the other side does not know the authority")


@pytest.mark.timeout(60)
def test_a_cluster_does_not_start_without_a_usable_secret(tmp_path):
    line = "n1=127.0.0.1:16379,n2=127.0.0.1:16380"
    words = [binary(), "serve", "--data-dir", tmp_path / "data", "--cluster", line]
    wide = new_secret(tmp_path / "wide")
    wide.chmod(0o644)
    short = tmp_path / "short"
    short.touch(mode=0o600)
    short.write_text("5ec7e7\n")
    for flags, part in (
        ([], "repligo secret new FILE"),
        (["--insecure"], "repligo secret new FILE"),
        (["--cluster-secret-file", tmp_path / "none"], "No such file"),
        (["--cluster-secret-file", wide], "chmod 600"),
        (["--cluster-secret-file", short], "repligo secret new"),
        (["--peer-cert", wide], "--peer-key"),
    ):
        code, _, errors = run_tool([*words, *flags], env={})
        assert code == 2 and part in errors.decode(), (flags, errors)
    assert not (tmp_path / "data").exists()
    code, _, errors = run_tool([binary(), "secret", "new", wide])
    assert code == 1 and b"exists" in errors


@pytest.mark.timeout(120)
def test_certificates_of_an_own_authority_take_the_place_of_a_secret(tmp_path):
    pki = tmp_path / "pki"
    pki.mkdir()
    for words in (["ca"], *(["node", "--name", name] for name in NAMES), ["client", "--name", "app"]):
        more = [] if words == ["ca"] else ["--ca", pki]
        code, _, errors = run_tool([binary(), "cert", *words, "--cluster-name", "prod", *more, "--out", pki])
        assert code == 0, errors

    def flags(name):
        return ["--peer-cert", pki / f"{name}.crt", "--peer-key", pki / f"{name}.key", "--peer-ca", pki / "ca.crt"]

    with Fleet(tmp_path / "nodes", {name: flags(name) for name in NAMES}) as fleet:
        fleet.wait_until_ready()
        writes(fleet["n2"], "key")
        assert frames_for(fleet.addresses["n3"], (pki / "app.crt", pki / "app.key")) == b""
        fleet["n3"].says(NOT_A_NODE)
    line = "n1=127.0.0.1:16379,n2=127.0.0.1:16380"
    for name, part in (("app", "it names no node"), ("n2", "it names node n2, and this one is n1")):
        words = [binary(), "serve", "--data-dir", tmp_path / "data", "--cluster", line, *flags(name)]
        code, _, errors = run_tool(words, env={})
        assert code == 2 and part in errors.decode(), errors


@pytest.mark.timeout(120)
def test_the_authority_of_clients_is_none_for_nodes_and_the_other_way_round(tmp_path):
    """What `--tls-client-ca` believes certifies no node, whatever its certificates say; and a node is no client."""
    secret = new_secret(tmp_path / "secret")
    nodes = Authority.of_secret(tmp_path / "nodes-pki", secret)
    clients = Authority.fresh(tmp_path / "clients-pki", nodes.cluster)
    server = clients.issue("localhost", uri="", usages="serverAuth")
    tls = free_port()
    flags = ["--cluster-secret-file", secret, "--tls-listen", f"127.0.0.1:{tls}"]
    flags += ["--tls-cert", server[0], "--tls-key", server[1], "--tls-client-ca", clients.certificate]

    def ping(pair):
        """As a client, over TLS 1.3: what is wrong with its certificate is told behind the handshake."""
        with contextlib.suppress(OSError), wrap(peers.connect(f"127.0.0.1:{tls}"), pair) as stream:
            stream.sendall(b"PING\r\n")
            return stream.recv(100)
        return b""

    known = {"n1": flags, "n2": ["--cluster-secret-file", secret]}
    with Fleet(tmp_path / "nodes", known, names=("n1", "n2")) as fleet:
        fleet.wait_until_ready()
        before = fleet["n1"].text().count(OTHER_AUTHORITY)
        assert frames_for(fleet.addresses["n1"], clients.issue("n2")) == b""
        wait_until("said", lambda: fleet["n1"].text().count(OTHER_AUTHORITY) > before, 10)
        assert frames_for(fleet.addresses["n1"], nodes.issue("n2")) != b"", "the right certificate is answered"
        assert ping(clients.issue("app", uri="", usages="clientAuth")) == b"+PONG\r\n"
        assert ping(nodes.issue("n2")) == b""
        wait_until("said", lambda: fleet["n1"].text().count(OTHER_AUTHORITY) > before + 1, 10)
        # A certificate of the right authority that calls itself a node is none that a client may show.
        assert ping(clients.issue("n2")) == b""


def test_the_link_is_tls_1_3_alone(guarded):
    cluster, authority = guarded
    context = node_context(authority.issue("n1"))
    with wrap(peers.connect(cluster.nodes[2].peer), authority.issue("n1")) as stream:
        assert stream.version() == "TLSv1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with peers.connect(cluster.nodes[2].peer) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)
