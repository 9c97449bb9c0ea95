"""A node becomes a member of a running cluster by one command, and where it may not it says why and what to do."""

import urllib.error
import urllib.request

import pytest

from support.nodes import binary
from support.processes import run_tool
from support.waiting import wait_until

from .members import SECONDS, Fleet


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path) as fleet:
        yield fleet


def test_a_node_joins_by_one_command_comes_back_and_nobody_is_alarmed(fleet):
    fleet.launch("n1")
    fleet.await_serving("n1")
    fleet.client("n1").set("kept", "yes")
    fleet.join("n2", "n1")
    fleet.await_voters("n1", ["n1", "n2"])
    # Any member may be asked; the leader is found.
    fleet.join("n3", "n2")
    fleet.await_voters("n1", ["n1", "n2", "n3"])
    for name in ("n2", "n3"):
        fleet.await_serving(name)
        assert fleet.client(name).get("kept") == b"yes"
    # The same command starts it again.
    fleet.stop("n3")
    fleet.restart("n3")
    fleet.await_serving("n3")
    assert sorted(fleet.members("n1")) == [1, 2, 3]
    fleet.kill("n3")
    fleet.wipe("n3")
    fleet.restart("n3")
    wait_until("it has a new number", lambda: 4 in fleet.members("n1"), SECONDS)
    fleet.await_voters("n1", ["n1", "n2", "n3"])
    logs = "".join(path.read_text() for path in fleet.directory.glob("*.log"))
    for alarm in (" times", "waiting for n2 ()", "waiting for ;", "give every node the same --cluster"):
        assert alarm not in logs, [line for line in logs.splitlines() if alarm in line]


def test_where_it_may_not_join_it_says_why(fleet):
    fleet.launch("n1")
    fleet.await_serving("n1")
    fleet.join("n2", "n1")
    fleet.await_voters("n1", ["n1", "n2"])
    # A second one of a name that is alive.
    fleet.join("other", "n1", name="n2")
    other = fleet.nodes["other"].started
    wait_until("it says why", lambda: "start this one under another --name" in other.tail(40), SECONDS)
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"http://{fleet.nodes['other'].admin}/readyz", timeout=10)
    assert b"waiting to be admitted" in answer.value.read() and answer.value.code == 503
    fleet.kill("other")
    # Data of its own is not given up.
    fleet.launch("alone", line=[])
    fleet.await_serving("alone")
    fleet.stop("alone")
    fleet.join("alone", "n1")
    alone = fleet.nodes["alone"].started
    wait_until("it ends", lambda: not alone.is_running(), SECONDS)
    assert "holds the data of a single node" in alone.tail() and "--data-dir" in alone.tail(), alone.tail()
    assert sorted(member["name"] for member in fleet.members("n1").values()) == ["n1", "n2"]
    # Nothing was done with it, so a stop of the machine after that has cost nothing.
    fleet.env["REPLIGO_TEST_BOOT_ID"] = "another boot"
    fleet.launch("alone", line=[])
    fleet.await_serving("alone")
    assert "may be gone" not in fleet.nodes["alone"].started.tail(100)


@pytest.mark.parametrize("words, told", [
    (["--join", "127.0.0.1:1"], "a name of its own"),
    (["--join", "n1=127.0.0.1:1", "--name", "n4"], "is not HOST:PORT"),
    (["--join", "127.0.0.1:1", "--name", "n4", "--insecure-peers", "--cluster", "n4=127.0.0.1:2"], "both given"),
])
def test_a_line_that_cannot_join_is_refused(words, told):
    code, out, error = run_tool([binary(), "serve", *words])
    assert code == 2 and told in (out + error).decode() and "do: " in error.decode(), error
