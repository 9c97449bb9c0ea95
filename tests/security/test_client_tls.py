"""Clients over TLS: who is served, by which certificates, and that new files cost no command."""

import contextlib
import json
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

from support.nodes import binary
from support.pki import DAY, HOUR, Authority
from support.processes import TOOLS, Process, run_tool
from support.redis_server import free_port
from support.waiting import wait_until

HOST = "127.0.0.1"


def cert(*words):
    code, _, errors = run_tool([binary(), "cert", *words])
    assert code == 0, errors


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Two authorities; the first has certified a server, a client and a node."""
    folder = tmp_path_factory.mktemp("pki")
    for name in ("one", "two"):
        (folder / name).mkdir()
        cert("ca", "--out", folder / name)
        for kind, subject in (("server", "localhost"), ("client", "app"), ("node", "n1")):
            more = [HOST] if kind == "server" else []
            cert(kind, "--name", subject, *more, "--ca", folder / name, "--out", folder / name)
    return folder


def put_pair(folder, certificate, key):
    """Takes the server's certificate and key of a folder, one file after the other, as tools do that renew them."""
    for source, target in ((folder / "localhost.key", key), (folder / "localhost.crt", certificate)):
        temporary = target.with_suffix(".new")
        shutil.copy(source, temporary)
        temporary.chmod(0o600)
        temporary.rename(target)


class Server:
    """A single node that listens in plain text and over TLS."""

    def __init__(self, folder, pki, *flags, instead=False):
        self.folder = folder
        self.certificate, self.key = folder / "server.crt", folder / "server.key"
        self.put(pki / "one")
        self.plain, self.tls = free_port(), free_port()
        if instead:
            self.plain = self.tls
        argv = [binary(), "serve", "--listen", f"{HOST}:{self.plain}", "--tls-listen", f"{HOST}:{self.tls}"]
        argv += ["--admin-listen", f"{HOST}:{free_port()}", "--peer-listen", f"{HOST}:{free_port()}"]
        argv += ["--data-dir", folder / "data"]
        argv += ["--tls-cert", self.certificate, "--tls-key", self.key, *flags]
        self.process = Process(argv, folder / "log", env={})
        self.process.wait_for("is ready", lambda: "repligo ready" in self.text(), 30)

    def put(self, folder):
        put_pair(folder, self.certificate, self.key)

    def text(self):
        return (self.folder / "log").read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def client(self, folder, pair=None, **more):
        if pair is not None:
            more |= {"ssl_certfile": str(folder / f"{pair}.crt"), "ssl_keyfile": str(folder / f"{pair}.key")}
        return redis.Redis(
            host=HOST, port=self.tls, ssl=True, ssl_ca_certs=str(folder / "ca.crt"), socket_timeout=10, **more
        )


@pytest.mark.timeout(90)
@pytest.mark.parametrize("workers", [[], ["--workers", "3", "--workers-busy-percent", "0"]], ids=["one", "three"])
def test_plain_and_tls_clients_share_one_node(pki, tmp_path, workers):
    with Server(tmp_path, pki, *workers) as server:
        assert f"tls={HOST}:{server.tls}" in server.text()
        with redis.Redis(host=HOST, port=server.plain) as plain, server.client(pki / "one") as client:
            assert plain.set("k", "plain") and client.get("k") == b"plain"
            assert client.set("k", "tls") and plain.get("k") == b"tls"
            # Larger than all buffers on the way, in both directions, and in pipelines.
            value = bytes(range(256)) * (5 << 12)
            assert client.set("large", value) and client.get("large") == value
            pipeline = client.pipeline(transaction=False)
            for number in range(5000):
                pipeline.set(f"p{number}", number).get(f"p{number}")
            assert pipeline.execute()[1::2] == [b"%d" % number for number in range(5000)]
            pipeline = client.pipeline(transaction=False)
            for _ in range(6):
                pipeline.get("large")
            assert pipeline.execute() == [value] * 6
        authority = ["--tls", "--cacert", pki / "one/ca.crt"]
        code, output, errors = run_tool(["redis-cli", "-h", HOST, "-p", server.tls, *authority, "GET", "k"])
        assert (code, output.strip()) == (0, b"tls"), errors
        # A client that does not believe the authority, and one that does not speak TLS.
        with pytest.raises(redis.exceptions.ConnectionError):
            server.client(pki / "two").ping()
        with redis.Redis(host=HOST, port=server.tls, socket_timeout=5) as wrong:
            with pytest.raises(redis.exceptions.RedisError):
                wrong.ping()
        wait_until("it says so", lambda: "speaks plain text on a TLS port" in server.text(), 10)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_and_resumption(pki, tmp_path, version):
    with Server(tmp_path, pki) as server:
        context = ssl.create_default_context(cafile=pki / "one/ca.crt")
        context.minimum_version = context.maximum_version = version

        def ask(session):
            with socket.create_connection((HOST, server.tls), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname=HOST, session=session) as stream:
                    stream.sendall(b"PING\r\n")
                    assert stream.recv(100) == b"+PONG\r\n"
                    return stream.session, stream.session_reused

        session, reused = ask(None)
        assert not reused
        assert ask(session)[1], "the second handshake is short"


@pytest.mark.timeout(60)
def test_tls_takes_the_place_of_plain_text_where_both_have_one_address(pki, tmp_path):
    with Server(tmp_path, pki, instead=True) as server:
        assert server.client(pki / "one").ping()
        with socket.create_connection((HOST, server.plain), timeout=5) as stream:
            stream.sendall(b"PING\r\n")
            assert b"PONG" not in stream.recv(100)


@pytest.mark.timeout(90)
def test_certificates_of_clients_are_judged(pki, tmp_path):
    one, two = pki / "one", pki / "two"
    with Server(tmp_path, pki, "--tls-client-ca", one / "ca.crt") as server:
        assert server.client(one, "app").ping()
        code, output, _ = run_tool(
            ["redis-cli", "-h", HOST, "-p", server.tls, "--tls", "--cacert", one / "ca.crt"]
            + ["--cert", one / "app.crt", "--key", one / "app.key", "PING"]
        )
        assert (code, output.strip()) == (0, b"PONG")
        # None, one of another authority, a server's, a node's.
        for pair in (None, two / "app", one / "localhost", one / "n1"):
            with pytest.raises((redis.exceptions.ConnectionError, OSError)):
                server.client(one, pair).ping()
    (tmp_path / "optional").mkdir()
    flags = ["--tls-client-ca", one / "ca.crt", "--tls-client-auth", "optional"]
    with Server(tmp_path / "optional", pki, *flags) as server:
        assert server.client(one).ping() and server.client(one, "app").ping()
        with pytest.raises((redis.exceptions.ConnectionError, OSError)):
            server.client(one, two / "app").ping()


@pytest.mark.timeout(120)
def test_new_files_hold_for_new_connections_and_cost_no_command(pki, tmp_path):
    with Server(tmp_path, pki) as server:
        both = tmp_path / "both"
        both.mkdir()
        (both / "ca.crt").write_text("".join((pki / name / "ca.crt").read_text() for name in ("one", "two")))
        over, failed, done = threading.Event(), [], [0, 0]

        def stays():
            with server.client(both) as client:
                while not over.is_set():
                    _count(client, 0)

        def comes_and_goes():
            while not over.is_set():
                with server.client(both) as client:
                    _count(client, 1)

        def _count(client, place):
            try:
                assert client.set("k", "v")
                done[place] += 1
            except Exception as error:  # noqa: BLE001  whatever a client sees
                failed.append(repr(error))

        threads = [threading.Thread(target=run) for run in (stays, comes_and_goes, comes_and_goes)]
        for thread in threads:
            thread.start()
        try:
            for count, name in enumerate(("two", "one", "two"), 1):
                time.sleep(0.5)
                server.put(pki / name)
                with contextlib.suppress(redis.exceptions.ConnectionError):
                    wait_until("the new certificate is shown", lambda name=name: _is_shown(server, pki / name), 10)
                assert server.text().count("the TLS listener were read again") >= count
            # Files that cannot be used change nothing.
            server.key.write_text("no key")
            wait_until("it says so", lambda: "The keys in use stay" in server.text(), 10)
            assert _is_shown(server, pki / "two")
        finally:
            over.set()
            for thread in threads:
                thread.join(20)
        assert not failed and min(done) > 20, (failed[:3], done)


def _is_shown(server, folder):
    try:
        return server.client(folder).ping()
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
        return False


@pytest.mark.timeout(90)
def test_half_open_handshakes_keep_nobody_out(pki, tmp_path):
    with Server(tmp_path, pki) as server, contextlib.ExitStack() as stack:
        for _ in range(500):
            stream = stack.enter_context(socket.create_connection((HOST, server.tls), timeout=5))
            stream.sendall(b"\x16\x03\x01\x01\x00")
        for _ in range(20):
            with server.client(pki / "one") as client:
                assert client.ping()
        with redis.Redis(host=HOST, port=server.plain) as plain:
            assert int(plain.info("clients")["connected_clients"]) < 10


def test_tls_files_are_checked_at_the_start(pki, tmp_path):
    words = [binary(), "serve", "--data-dir", tmp_path / "data", "--listen", f"{HOST}:{free_port()}"]
    words += ["--tls-listen", f"{HOST}:{free_port()}", "--peer-listen", f"{HOST}:{free_port()}"]
    words += ["--admin-listen", f"{HOST}:{free_port()}"]
    one, two = pki / "one", pki / "two"
    # A file that is said to be a key is refused where others may read it, whatever is in it.
    no_key = tmp_path / "no.key"
    no_key.write_bytes((one / "localhost.crt").read_bytes())
    no_key.chmod(0o600)
    for files, part in (
        ([], "--tls-cert FILE"),
        (["--tls-cert", one / "localhost.crt", "--tls-key", two / "localhost.key"], "its own certificate"),
        (["--tls-cert", one / "localhost.key", "--tls-key", one / "localhost.key"], "no certificate in PEM form"),
        (["--tls-cert", one / "localhost.crt", "--tls-key", no_key], "no private key in PEM form"),
        (["--tls-cert", one / "localhost.crt", "--tls-key", one / "localhost.crt"], "lets other users of this machine read it"),
    ):
        completed = subprocess.run(
            [str(word) for word in [*words, *files]], capture_output=True, text=True, timeout=20, env={}
        )
        assert completed.returncode == 2 and part in completed.stderr, completed.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.timeout(90)
def test_what_is_refused_is_refused_with_its_reason(pki, tmp_path):
    """Certificates of clients that are out of their time, from nowhere, or for something else; and the wrong protocol
    on either port. Who is served meanwhile notices nothing.
    """
    authority = Authority.fresh(tmp_path / "authority")
    other = Authority.fresh(tmp_path / "other")

    def client(begin=-HOUR, end=DAY, usages="clientAuth", by=authority):
        return by.issue("app", uri="", usages=usages, begin=begin, end=end)

    cases = {
        "expired": (client(-3 * DAY, -2 * DAY), "the certificate of the other side ended 2 days ago"),
        "not yet valid": (client(5 * HOUR, DAY), "the certificate of the other side begins only in"),
        "of another authority": (client(by=other), "comes from another authority"),
        "of a server": (client(usages="serverAuth"), "the certificate of the other side cannot be used"),
        "none": (None, "shows no certificate"),
    }
    with Server(tmp_path, pki, "--tls-client-ca", authority.certificate) as server:

        def context(pair):
            context = ssl.create_default_context(cafile=pki / "one/ca.crt")
            if pair is not None:
                context.load_cert_chain(*map(str, pair))
            return context

        def ping(pair):
            with socket.create_connection((HOST, server.tls), timeout=10) as plain:
                with context(pair).wrap_socket(plain, server_hostname=HOST) as stream:
                    stream.sendall(b"PING\r\n")
                    return stream.recv(100)

        with redis.Redis(host=HOST, port=server.plain) as served:
            assert served.set("k", "v") and ping(client()) == b"+PONG\r\n"
            for case, (pair, reason) in cases.items():
                before = server.text().count(reason)
                with pytest.raises(OSError):
                    assert ping(pair) == b"", case
                    raise OSError
                wait_until(f"{case}: {reason}", lambda: server.text().count(reason) > before, 10)  # noqa: B023
                assert served.get("k") == b"v"
            # TLS on the port of plain text, and plain text on that of TLS.
            with socket.create_connection((HOST, server.plain), timeout=10) as plain:
                plain.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                assert plain.recv(1000) == b"-ERR Protocol error: this port speaks plain text, not TLS\r\n"
                assert plain.recv(1000) == b""
            with socket.create_connection((HOST, server.plain), timeout=10) as plain, pytest.raises(ssl.SSLError):
                context(None).wrap_socket(plain, server_hostname=HOST)
            wait_until("it says so", lambda: server.text().count("a client speaks TLS, which --tls-listen is for") == 2, 10)
            with socket.create_connection((HOST, server.tls), timeout=10) as plain:
                plain.sendall(b"PING\r\n")
                answer = plain.recv(1000)
            assert answer[:1] in (b"", b"\x15") and b"PONG" not in answer
            wait_until("it says so", lambda: "speaks plain text on a TLS port" in server.text(), 10)
            assert served.get("k") == b"v"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "instead"])
def test_garbage_ends_its_connection_alone(pki, tmp_path, inside):
    """Random bytes and mutated requests inside of TLS, and mutated hellos and records in place of it."""
    chance = random.Random(12)
    context = ssl.create_default_context(cafile=pki / "one/ca.crt")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=HOST).do_handshake()
    seed = b"*3\r\n$3\r\nSET\r\n$3\r\nbad\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n" if inside else outgoing.read()
    with Server(tmp_path, pki) as server, server.client(pki / "one") as served:
        assert served.set("k", "v")
        for number in range(300):
            garbage = bytearray(seed if number % 3 else chance.randbytes(chance.randrange(1, 3000)))
            for _ in range(chance.randrange(1, 8)):
                garbage[chance.randrange(len(garbage))] = chance.randrange(256)
            with socket.create_connection((HOST, server.tls), timeout=10) as stream, contextlib.suppress(OSError):
                if inside:
                    stream = context.wrap_socket(stream, server_hostname=HOST)  # noqa: PLW2901
                stream.sendall(garbage)
                stream.settimeout(0.02)
                stream.recv(65536)
                stream.close()
            if number % 20 == 0:
                assert served.get("k") == b"v"
        assert server.process.is_running() and "panicked" not in server.text()
        with server.client(pki / "one") as another:
            assert another.get("k") == b"v"
        wait_until("they are gone", lambda: int(served.info("clients")["connected_clients"]) <= 2, 20)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("certified", [False, True], ids=["without", "with"])
def test_ioredis_works_over_tls(pki, tmp_path, certified):
    """All that it is asked in plain text, without a certificate and with one."""
    one = pki / "one"
    flags = ["--tls-client-ca", one / "ca.crt"] if certified else []
    files = [one / "ca.crt", *([one / "app.crt", one / "app.key"] if certified else [])]
    script = Path(__file__).parent.parent / "clients/ioredis.cjs"
    with Server(tmp_path, pki, *flags) as server:
        library = TOOLS / "npm/node_modules/ioredis"
        code, output, errors = run_tool(["node", script, library, HOST, server.tls, *files], 60)
    assert code == 0, f"{output.decode()}\n{errors.decode()}"
    report = json.loads(output.splitlines()[-1])
    assert report["failed"] == [] and report["passed"] >= 20, report
