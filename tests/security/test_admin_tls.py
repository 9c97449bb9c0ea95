"""Admin HTTP over TLS with a token, which other machines may reach."""

import contextlib
import random
import shutil
import socket
import ssl

import pytest

from support.nodes import binary
from support.processes import Process, run_tool
from support.redis_server import free_port
from support.waiting import wait_until

from .test_client_tls import HOST, cert, pki  # noqa: F401  (the fixture)

TOKEN = "0123456789abcdef"


class Node:
    def __init__(self, folder, pki, *flags):  # noqa: F811
        self.port, self.log = free_port(), folder / "log"
        self.certificate, self.key = folder / "admin.crt", folder / "admin.key"
        token = folder / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        self.put(pki / "one")
        argv = [binary(), "serve", "--listen", f"{HOST}:{free_port()}", "--peer-listen", f"{HOST}:{free_port()}"]
        argv += ["--admin-listen", f"0.0.0.0:{self.port}", "--admin-token-file", token, "--durability", "none"]
        argv += ["--admin-tls-cert", self.certificate, "--admin-tls-key", self.key, "--data-dir", folder / "data", *flags]
        self.process = Process(argv, self.log, env={})
        self.process.wait_for("is ready", lambda: "repligo ready" in self.log.read_text(), 30)

    def put(self, folder):
        for source, target in ((folder / "localhost.key", self.key), (folder / "localhost.crt", self.certificate)):
            temporary = target.with_suffix(".new")
            shutil.copy(source, temporary)
            temporary.chmod(0o600)
            temporary.rename(target)

    def ask(self, page, *words, scheme="https"):
        """(exit code of curl, code of HTTP, text)"""
        url = f"{scheme}://{HOST}:{self.port}{page}"
        code, output, _ = run_tool(["curl", "-s", "-m", "10", "-w", "\n%{http_code}", *words, url])
        text, _, status = output.decode().rpartition("\n")
        return code, int(status), text


@pytest.fixture(scope="module")
def node(pki, tmp_path_factory):  # noqa: F811
    node = Node(tmp_path_factory.mktemp("admin"), pki)
    yield node
    node.process.stop()


@pytest.mark.timeout(60)
def test_it_speaks_tls_alone_and_asks_for_the_token(node, pki):  # noqa: F811
    authority = ["--cacert", pki / "one/ca.crt"]
    token = ["-H", f"Authorization: Bearer {TOKEN}"]
    assert node.ask("/livez", *authority) == (0, 200, "ok\n")
    code, status, text = node.ask("/metrics", *authority)
    assert (code, status) == (0, 401) and "repligo_" not in text
    assert node.ask("/metrics", *authority, *token)[:2] == (0, 200)
    # What is shown is looked up from time to time.
    wait_until(
        "the days are told",
        lambda: 'repligo_certificate_days_left{shown_to="admin"} 364' in node.ask("/metrics", *authority, *token)[2],
        20,
    )
    # Who believes another authority, and who speaks plain text, gets no page.
    assert node.ask("/livez", "--cacert", pki / "two/ca.crt")[0] == 60
    code, status, text = node.ask("/metrics", *token, scheme="http")
    assert (code != 0 or status == 0 or status >= 400) and "repligo_" not in text


@pytest.mark.timeout(60)
def test_who_completes_no_handshake_keeps_nobody_out_and_is_closed(node, pki):  # noqa: F811
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(socket.create_connection((HOST, node.port), timeout=10)) for _ in range(300)]
        for stranger in strangers:
            with contextlib.suppress(OSError):
                stranger.sendall(b"\x16\x03\x01\x01\x00")
        for _ in range(5):
            assert node.ask("/livez", "--cacert", pki / "one/ca.crt")[1] == 200
        strangers[-1].settimeout(8)
        with contextlib.suppress(ConnectionError):
            while strangers[-1].recv(1000):
                pass
    assert node.process.is_running()


@pytest.mark.timeout(60)
def test_a_new_certificate_is_shown_while_the_node_runs(node, pki):  # noqa: F811
    node.put(pki / "two")
    wait_until("it is shown", lambda: node.ask("/livez", "--cacert", pki / "two/ca.crt")[1] == 200, 15)
    node.put(pki / "one")
    wait_until("the old one again", lambda: node.ask("/livez", "--cacert", pki / "one/ca.crt")[1] == 200, 15)


def test_what_other_machines_reach_needs_both(pki, tmp_path):  # noqa: F811
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    words = [binary(), "serve", "--data-dir", tmp_path / "data", "--admin-listen", f"0.0.0.0:{free_port()}"]
    files = ["--admin-tls-cert", pki / "one/localhost.crt", "--admin-tls-key", pki / "one/localhost.key"]
    for flags, part in (
        ([], "without TLS and a token"),
        (["--admin-token-file", token], "without TLS and a token"),
        (files, "without TLS and a token"),
        ([*files[:2], "--admin-token-file", token], "admin-tls-key is not"),
        (["--admin-token-file", token, *files[:3], pki / "two/localhost.key"], "its own certificate"),
    ):
        code, _, errors = run_tool([*words, *flags], env={})
        assert code == 2 and part in errors.decode(), (flags, errors)
    assert not (tmp_path / "data").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("speaks_tls", [True, False], ids=["tls", "plain"])
def test_garbage_ends_its_connection_alone(node, pki, speaks_tls):  # noqa: F811
    """Random bytes and mutated requests, inside TLS and in place of it."""
    chance = random.Random(7)
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nContent-Length: 3\r\n\r\nabc"
    context = ssl.create_default_context(cafile=pki / "one/ca.crt")
    for number in range(150):
        garbage = bytearray(request if number % 3 else chance.randbytes(chance.randrange(1, 2000)))
        for _ in range(chance.randrange(1, 6)):
            garbage[chance.randrange(len(garbage))] = chance.randrange(256)
        if number % 5 == 0:
            garbage += b"X-Long: " + b"y" * chance.randrange(100_000)
        with socket.create_connection((HOST, node.port), timeout=10) as stream, contextlib.suppress(OSError):
            if speaks_tls:
                stream = context.wrap_socket(stream, server_hostname=HOST)  # noqa: PLW2901
            stream.sendall(garbage)
            stream.shutdown(socket.SHUT_WR)
            stream.settimeout(5)
            assert b"repligo_" not in stream.recv(65536), bytes(garbage)
            stream.close()
    assert node.process.is_running()
    assert node.ask("/livez", "--cacert", pki / "one/ca.crt") == (0, 200, "ok\n")
