"""The tools of the command line over TLS, as users with passwords from files; and users that certificates name."""

import json

import pytest
import redis

from support.nodes import binary
from support.processes import run_tool
from support.waiting import wait_until

from .test_client_tls import HOST, Server, cert, pki  # noqa: F401  (the fixture)


def tool(*words):
    code, output, errors = run_tool([binary(), *words])
    return code, output.decode(), errors.decode()


@pytest.fixture(scope="module")
def server(pki, tmp_path_factory):  # noqa: F811
    """A node that asks for certificates, which name users, and for the password of an operator."""
    folder = tmp_path_factory.mktemp("tools")
    flags = ["--tls-client-ca", pki / "one/ca.crt", "--tls-client-auth", "optional", "--tls-client-user", "cn"]
    with Server(folder, pki, *flags, instead=True) as server:
        with server.client(pki / "one") as client:
            wait_until("it serves", lambda: client.set("k", "v"), 10)
            client.execute_command("ACL", "SETUSER", "op", "on", ">hunter2", "~*", "+@all")
            client.execute_command("ACL", "SETUSER", "app", "on", "~app:*", "+@all", "-config", "read=eventual")
            client.execute_command("ACL", "SETUSER", "default", "-@all", "+ping", "+auth", "+acl|whoami")
        (folder / "password").write_text("hunter2\n")
        (folder / "password").chmod(0o600)
        yield server


@pytest.fixture(scope="module")
def login(server, pki):  # noqa: F811
    return ["--tls", "--ca", pki / "one/ca.crt", "--user", "op", "--password-file", server.folder / "password"]


@pytest.mark.timeout(90)
def test_status_cluster_export_and_import_speak_tls(server, login, pki, tmp_path):  # noqa: F811
    address = f"{HOST}:{server.tls}"
    code, output, errors = tool("status", "--json", "--addr", address, *login)
    assert code == 0 and json.loads(output)["health"] == "healthy", errors
    code, output, errors = tool("cluster", "nodes", "--json", "--addr", address, *login)
    assert code == 0 and json.loads(output)["members"], errors
    code, _, errors = tool("export", "--addr", address, "--output", tmp_path / "all.repligo", *login)
    assert code == 0, errors
    code, _, errors = tool("import", tmp_path / "all.repligo", "--addr", address, "--replace", *login)
    assert code == 0, errors
    code, output, errors = tool("backup", "--addr", address, "--output", tmp_path / "all.backup", *login)
    assert code == 0 and "point: entry" in output, errors
    code, _, errors = tool("backup", "--addr", address, "--output", tmp_path / "no.backup", *login[:3])
    assert code == 1 and "NOPERM" in errors and "+repligo.backup" in errors, errors
    assert not list(tmp_path.glob("no.backup*"))
    for words, parts in (
        (["--tls", "--ca", pki / "two/ca.crt"], ["none of the authorities"]),
        (["--tls"], ["--ca FILE"]),
        (["--tls", "--ca", tmp_path / "none"], ["No such file"]),
        ([], []),
        (login[:3], ["NOPERM"]),
    ):
        code, _, errors = tool("status", "--addr", address, *words)
        assert code == 2 and all(part in errors for part in parts), (words, errors)
        assert "hunter2" not in errors


def test_config_tells_the_listener_as_redis_does(server, pki):  # noqa: F811
    with server.client(pki / "one", username="op", password="hunter2") as client:
        told = client.config_get("tls-*")
    assert told["tls-port"] == str(server.tls) and told["tls-auth-clients"] == "optional"
    assert told["tls-cert-file"] == str(server.certificate) and told["tls-ca-cert-file"] == str(pki / "one/ca.crt")


@pytest.mark.timeout(60)
def test_a_certificate_logs_its_user_in(server, pki, tmp_path):  # noqa: F811
    def who(client):
        return client.execute_command("ACL", "WHOAMI")

    with server.client(pki / "one", pair="app") as client:
        assert who(client) == b"app"
        # Replicas may answer it, as its profile says.
        assert "r" in client.client_info()["flags"]
        assert client.set("app:k", "v") and client.get("app:k") == b"v"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("k", "v")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.config_get("maxmemory")
    # Without a certificate, and with one that names nobody who is known.
    with server.client(pki / "one") as client:
        assert who(client) == b"default"
    cert("client", "--name", "stranger", "--ca", pki / "one", "--out", tmp_path)
    pair = {"ssl_certfile": str(tmp_path / "stranger.crt"), "ssl_keyfile": str(tmp_path / "stranger.key")}
    with server.client(pki / "one", **pair) as client:
        assert who(client) == b"default"
    # A user who is switched off is not logged in either, and AUTH goes on to work.
    with server.client(pki / "one", pair="app", username="op", password="hunter2") as client:
        assert who(client) == b"op"
        client.execute_command("ACL", "SETUSER", "app", "off")
        with server.client(pki / "one", pair="app") as other:
            assert who(other) == b"default"
        client.execute_command("ACL", "SETUSER", "app", "on")
    # RESET makes it a connection that nobody has certified.
    with server.client(pki / "one", pair="app", single_connection_client=True) as client:
        assert client.execute_command("RESET") and who(client) == b"default"


@pytest.mark.timeout(90)
def test_bench_speaks_tls_and_checks_every_reply(server, login, pki):  # noqa: F811
    load = ["--seconds", "1", "--warmup", "0", "--clients", "8", "--keys", "1000", "--json"]
    for more in (["--pipeline", "1"], ["--pipeline", "64", "--value-bytes", "4000", "--load"], ["--threads", "2", "--rate", "500"]):
        code, output, errors = tool("bench", "--addr", f"{HOST}:{server.tls}", *login, *load, *more)
        assert code == 0, errors
        told = json.loads(output)
        assert told["errors"] == 0 and told["wrong_replies"] == 0 and told["ops"] > 100, told
    for words, part in (
        (["--tls", "--ca", pki / "two/ca.crt"], "none of the authorities"),
        (["--tls", "--ca", pki / "one/ca.crt", "--user", "op"], "--user: no password"),
    ):
        code, _, errors = tool("bench", "--addr", f"{HOST}:{server.tls}", *words, *load)
        assert code != 0 and part in errors, errors
