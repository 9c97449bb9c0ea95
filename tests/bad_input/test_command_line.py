"""Mistakes on the command line and in the configuration: exit code 2, and what was probably meant."""

import os
import socket

import pytest

from support.nodes import binary
from support.processes import run_tool
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
        (["dev", "--node", "3"], ["--node", "--nodes"]),
        (["demo", "--second", "3"], ["--second", "--seconds"]),
        (["config", "check", "/nowhere/r.toml"], ["/nowhere/r.toml"]),
    ],
)
def test_wrong_words_are_refused_with_a_remedy(words, parts, tmp_path):
    extra = ["--data-dir", tmp_path / "data"] if words[0] == "serve" else []
    code, said = run(*words, *extra)
    assert code == 2, said
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
    assert all(part in said for part in parts), said


def test_a_wrong_variable_is_refused(tmp_path):
    code, said = run("serve", "--data-dir", tmp_path / "data", REPLIGO_LISEN="127.0.0.1:0")
    assert code == 2 and "REPLIGO_LISEN" in said and "REPLIGO_LISTEN" in said, said


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
