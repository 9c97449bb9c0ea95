"""Mistakes on the command line and in the configuration: exit code 2, and what was probably meant."""

import contextlib
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys

import pytest

from support.nodes import Cluster, binary
from support.processes import Process, run_tool
from support.redis_server import free_port


def run(*words, **variables):
    """Exit code and everything that was said; a server that starts by mistake is stopped by the time limit."""
    environment = {"PATH": os.environ["PATH"], **variables}
    code, output, errors = run_tool([binary(), *words], seconds=15, env=environment)
    return code, (output + errors).decode()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["serve", "--lisen", "127.0.0.1:0"], ["--lisen", "--listen"]),
        (["srve"], ["srve", "serve"]),
        (["serve", "--durability", "fsnyc"], ["fsnyc", "did you mean `fsync`?"]),
        (["serve", "--listen", "nowhere"], ["nowhere", "--listen"]),
        (["serve", "--maxmemory", "2 bananas"], ["2 bananas", "--maxmemory"]),
        (["serve", "--config", "/nowhere/r.toml"], ["/nowhere/r.toml", "--config"]),
        (["serve", "--listen", "0.0.0.0:0"], ["requirepass"]),
        (["serve", "--port", "6380"], ["--listen IP:PORT"]),
        (["dev", "--node", "3"], ["--node", "--nodes"]),
        (["dev", "--port", "7001"], ["--base-port"]),
        (["dev", "--nodes", "9"], ["1..=7"]),
        (["demo", "--second", "3"], ["--second", "--seconds"]),
        (["config", "check", "/nowhere/r.toml"], ["/nowhere/r.toml", "give the path of a readable TOML file"]),
        (["dev", "--nodes", "2", "--base-port", "65530"], ["choose 55534 or a lower one"]),
        (["import", "--from", "h:1", "--follow", "--replace"], ["--replace", "leave --replace away"]),
        (["import", "--from", "h:1", "--follow", "--match", "x*"], ["--match", "--db N"]),
        (["status", "--addr", "127.0.0.1"], ["no port", "HOST:PORT"]),
        (["status", "--port", "7001"], ["--addr HOST:PORT"]),
        (["status", "--addr", "127.0.0.1:1"], ["start the node", "--addr HOST:PORT"]),
        (["start"], ["`repligo serve`", "`repligo dev`"]),
        (["stop"], ["SIGTERM"]),
        (["import"], ["FILE", "--from"]),
        (["bench", "--workload", "gte"], ["give one of get, set, mixed"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_words_are_refused_with_a_remedy(words, parts, tmp_path):
    extra = ["--data-dir", tmp_path / "data"] if words[0] == "serve" else []
    code, said = run(*words, *extra)
    assert code == 2, said
    assert said.startswith("repligo: ") and "\n  do: " in said, said
    assert all(part in said for part in parts), said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('lisen = "127.0.0.1:0"', ["lisen", "r.toml:1", "did you mean `listen`?"]),
        ("maxclients = 0", ["maxclients", "r.toml:1"]),
        ('[origin.main]\nurl = "sqlite:x.db"\nulr = "y"', ["ulr", "did you mean `url`?", "r.toml:3"]),
        ("listen = ", ["r.toml"]),
        ('[origin.main]\nurl = "sqlite:x.db"\n[[keyspace]]\nname = "a"\npatern = "a:{id:int}"', ["patern", "`pattern`"]),
        ('[origin.main]\nurl = "bananas:x.db"', ["bananas", "sqlite"]),
    ],
)
@pytest.mark.parametrize("command", [["serve", "--config"], ["config", "check"]])
def test_a_wrong_file_is_refused_with_place_and_remedy(command, text, parts, tmp_path):
    file = tmp_path / "r.toml"
    file.write_text(text + "\n")
    code, said = run(*command, file)
    assert code == 2, said
    assert said.startswith("repligo: ") and "\n  do: " in said, said
    assert all(part in said for part in parts), said


def test_a_wrong_variable_is_refused(tmp_path):
    code, said = run("serve", "--data-dir", tmp_path / "data", REPLIGO_LISEN="127.0.0.1:0")
    assert code == 2 and "REPLIGO_LISEN" in said and "REPLIGO_LISTEN" in said, said


def test_a_variable_that_is_like_no_key_is_ignored_aloud_and_one_with_a_slip_ends_the_start(tmp_path):
    """Platforms set variables of their own; who meant ours and slipped must not run with defaults."""
    listen = {"REPLIGO_LISTEN": "127.0.0.1:0", "REPLIGO_DATA_DIR": str(tmp_path / "data")}
    others = {"REPLIGO_PORT": "6380", "REPLIGO_VERSION": "0.1.0", "PATH": os.environ["PATH"]}
    node = Process([binary(), "serve"], tmp_path / "log", env={**listen, **others})
    try:
        node.wait_for("it is ready", lambda: "repligo ready" in node.tail(), 20)
    finally:
        node.stop()
    log = node.tail(50)
    assert "REPLIGO_PORT" in log and "use REPLIGO_LISTEN=IP:PORT" in log and "REPLIGO_VERSION" in log, log
    code, said = run("serve", **listen, REPLIGO_PEER_LISEN="127.0.0.1:0")
    assert code == 2 and "did you mean REPLIGO_PEER_LISTEN?" in said, said


def test_a_directory_that_cannot_be_made_is_told_as_that(tmp_path):
    """Nothing was written, so nothing is said of acknowledgements: what to do is about the directory."""
    (tmp_path / "file").write_text("")
    for directory, cause in [("/sys/repligo", "not permitted"), (tmp_path / "file", "Not a directory")]:
        code, said = run("serve", "--listen", "127.0.0.1:0", "--data-dir", directory)
        assert code == 1 and cause in said and "--data-dir" in said, said
        assert "acknowledged" not in said, said


@pytest.mark.timeout(240)
def test_five_thousand_keyspaces_are_checked_in_seconds_of_cpu(tmp_path):
    """Wall time would be that of the machine. An idle one needs about as long."""
    text = '[origin.main]\nurl = "sqlite:app.db"\n'
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as database:
        database.execute("BEGIN")
        for number in range(5000):
            text += f'[[keyspace]]\nname = "k{number}"\npattern = "k{number}:{{id:int}}"\norigin = "main"\n'
            text += f'table = "t{number}"\nvalue = "raw"\nvalue_column = "body"\n'
            database.execute(f"CREATE TABLE t{number}(id INTEGER PRIMARY KEY, body)")
        database.commit()
    (tmp_path / "many.toml").write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    code, output, errors = run_tool([binary(), "config", "check", tmp_path / "many.toml"], seconds=200)
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert code == 0 and b"5000 keyspaces" in output, errors
    print(f"{took:.1f} s of CPU")
    assert took < 8


def test_durability_none_is_refused_in_a_cluster(tmp_path):
    line = "n1=127.0.0.1:16379,n2=127.0.0.1:16380,n3=127.0.0.1:16381"
    code, said = run("serve", "--durability", "none", "--cluster", line, "--data-dir", tmp_path / "data")
    assert code == 2 and "none" in said and "--durability os" in said, said
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_names_its_owner(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        # Derived ports could lie above 65535.
        listen = ["--admin-listen", f"127.0.0.1:{free_port()}", "--peer-listen", f"127.0.0.1:{free_port()}"]
        code, said = run("serve", "--listen", f"127.0.0.1:{port}", *listen, "--data-dir", tmp_path / "data")
    assert code == 1, said
    assert f"127.0.0.1:{port}" in said and "--listen" in said and f"pid {os.getpid()}" in said, said


def test_a_port_in_use_is_not_laid_to_whoever_has_that_port_at_another_address(tmp_path):
    """One of them has begun before the owner and one after it, so that no order of a list names the right one."""
    listen_on = "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); print('ready'); sys.stdin.read()"
    listening = []

    def listen(address, port):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        listening.append(subprocess.Popen([sys.executable, "-c", listen_on, address, str(port)], **pipes))
        assert listening[-1].stdout.readline() == b"ready\n"

    port = free_port()
    more = ["--admin-listen", f"127.0.0.1:{free_port()}", "--peer-listen", f"127.0.0.1:{free_port()}"]
    try:
        for address in ("127.0.0.2", "127.0.0.1", "127.0.0.3"):
            listen(address, port)
        code, said = run("serve", "--listen", f"127.0.0.1:{port}", *more, "--data-dir", tmp_path / "data")
    finally:
        for process in listening:
            process.kill()
            process.communicate()
    before, owner, after = (f"pid {process.pid} " in said for process in listening)
    assert code == 1 and owner and not before and not after, said


def test_a_cluster_of_dev_beside_the_reader_is_found_if_it_runs(tmp_path):
    """Whoever types `status` next to the folder of a cluster means that cluster."""
    with socket.create_server(("127.0.0.1", 0)) as alive:
        addresses = {"a-dead": "127.0.0.1:1", "cluster": "%s:%d" % alive.getsockname()}
        for name, address in addresses.items():
            node = {"name": "n1", "pid": 1, "resp": address, "peer": "x", "admin": "x", "data_dir": "/", "argv": []}
            (tmp_path / name).mkdir()
            (tmp_path / name / "cluster.json").write_text(json.dumps({"nodes": [node]}))
        told = run_tool(["sh", "-c", f'cd "{tmp_path}" && "{binary()}" status'], seconds=15)
    said = told[2].decode()
    # Somebody may have the usual port on this machine.
    if "Connection refused" in said:
        assert f"repligo status --addr {addresses['cluster']}" in said and "cluster/cluster.json" in said, said
        assert "a-dead" not in said, said


@pytest.mark.parametrize(
    ("answer", "part"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "admin port"), (b"\x15\x03\x03\x00\x02\x02\x32", "--tls")]
)
def test_a_port_of_another_kind_is_told_as_that(answer, part):
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [binary(), "status", "--addr", "%s:%d" % server.getsockname()], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            server.settimeout(15)
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
                said = process.communicate(timeout=15)[1].decode()
        finally:
            process.kill()
    assert process.returncode == 2 and part in said, said


def test_a_table_that_is_not_there_is_told_with_the_line_that_names_it(tmp_path):
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE users(id INTEGER PRIMARY KEY, body)")
        connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
    connection.close()
    file = tmp_path / "r.toml"
    file.write_text(
        '[origin.main]\nurl = "sqlite:app.db"\n[[keyspace]]\nname = "users"\npattern = "user:{id:int}"\norigin = "main"\n'
        'mode = "write-through"\ntable = "usres"\nvalue = "raw"\nvalue_column = "body"\n'
    )
    code, said = run("config", "check", file)
    assert code == 2 and "did you mean `users`?" in said and "orders, users" in said, said
    assert "r.toml:8" in said, said


def test_a_demo_refuses_the_database_of_another_cluster_at_its_start(tmp_path):
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE repligo_lane(cluster TEXT)")
        connection.execute("INSERT INTO repligo_lane VALUES('abcd')")
    connection.close()
    code, said = run("demo", "--headless", "--seconds", "4", "--origin", f"sqlite:{tmp_path / 'app.db'}")
    assert code == 2 and "belongs to cluster abcd" in said and "\n  do: " in said, said
    assert "starting" not in said and "verdict" not in said, said


def test_dev_starts_no_fewer_nodes_than_its_folder_has(tmp_path):
    for name in ("n1", "n2", "n3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta").write_text("x")
    code, said = run("dev", "--nodes", "1", "--base-port", "0", "--dir", tmp_path)
    assert code == 2 and "cluster of 3 nodes" in said and "--nodes 3" in said, said


def test_an_import_looks_at_its_file_before_it_asks_a_server(tmp_path):
    code, said = run("import", tmp_path / "absent", "--to", "127.0.0.1:1", "--patience", "1")
    assert code == 1 and "absent: No such file" in said and "127.0.0.1:1" not in said, said
    (tmp_path / "empty").write_text("")
    code, said = run("import", tmp_path / "empty", "--to", "127.0.0.1:1", "--patience", "1")
    assert code == 1 and said.count("127.0.0.1:1") == 1 and "imported" not in said, said


def test_every_tool_that_talks_to_a_node_takes_the_password_from_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("hash\n")
    short = ("--requests", "100", "--warmup", "0")
    tools = [("status",), ("cluster", "nodes"), ("cluster", "transfer", "n1"), ("bench", *short)]
    with Cluster(tmp_path / "node", nodes=1, extra=("--requirepass", "hush"), password="hush") as cluster:
        address = cluster.nodes[0].address
        for words in tools:
            for more in ((), ("--password-file", wrong)):
                code, said = run(*words, "--addr", address, *more)
                assert code != 0 and "--password-file" in said, (words, said)
            code, said = run(*words, "--addr", address, "--password-file", secret)
            assert "AUTH" not in said and "WRONGPASS" not in said, (words, said)
            assert code == 0 or words[1] == "transfer", (words, said)
