"""After the loss of a majority one directory is gone on from, by an explicit command, and nothing of before can act."""

import json

import pytest
import redis

from support.nodes import binary
from support.processes import run_tool
from support.waiting import wait_until

from .members import SECONDS, Fleet, Writer

BOOT = "REPLIGO_TEST_BOOT_ID"
NAMES = ("n1", "n2", "n3")


def recover(*words):
    """`repligo cluster recover …`: exit code and text."""
    code, out, error = run_tool([binary(), "cluster", "recover", *words], 60)
    return code, (out + error).decode()


def started(tmp_path, durability):
    fleet = Fleet(tmp_path, durability)
    fleet.env[BOOT] = "before"
    for name in NAMES:
        fleet.peer(name)
    fleet.launch(*NAMES)
    fleet.await_serving("n1")
    return fleet


def problems(fleet, name):
    """What a node says is wrong, as one text."""
    status = json.loads(fleet.client(name).execute_command("REPLIGO.STATUS"))
    return "\n".join(f"{problem['what']} do: {problem['remedy']}" for problem in status["problems"])


def serves_nothing(fleet, name):
    try:
        fleet.client(name, socket_connect_timeout=2).get("serves")
    except redis.RedisError:
        return True
    return False


def test_a_cluster_whose_machines_all_lost_power_goes_on_from_one_directory(tmp_path):
    with started(tmp_path, "os") as fleet:
        with Writer(fleet, "n2", "power") as writer:
            wait_until("writes are acknowledged", lambda: len(writer.acknowledged) > 50, SECONDS)
        for name in NAMES:
            fleet.kill(name)
        fleet.env[BOOT] = "after"
        for name in NAMES:
            fleet.restart(name)
        for name in NAMES:
            started_again = fleet.nodes[name].started
            wait_until(f"{name} says why", lambda: "the machine stopped" in started_again.tail(), SECONDS)
            assert "repligo cluster recover" in started_again.tail(), started_again.tail()
            assert serves_nothing(fleet, name)
        code, text = recover("--data-dir", tmp_path / "n1")
        assert code == 1 and "in use by process" in text, text
        for name in NAMES:
            fleet.kill(name)

        dirs = [word for name in NAMES for word in ("--data-dir", tmp_path / name)]
        code, text = recover(*dirs)
        assert code == 0 and "Nothing was changed" in text and "may be missing: what was acknowledged" in text, text
        assert text.count("generation 1, one of 3 voters") == 3, text
        code, text = recover(*dirs, "--accept-data-loss")
        assert code == 0 and "is the only member now, in generation 2" in text, text
        survivor = text.split(" is the only member now")[0].split()[-1]
        others = sorted(set(NAMES) - {survivor})
        assert f"start {others[0]} and {others[1]} as before" in text, text

        fleet.restart(survivor)
        fleet.await_serving(survivor)
        writer.assert_held(fleet.client(survivor))
        for name in others:
            fleet.restart(name)
        fleet.await_voters(survivor, NAMES)
        members = fleet.members(survivor)
        numbers = {member["name"]: number for number, member in members.items()}
        assert numbers[survivor] <= 3 < min(numbers[name] for name in others), members
        for name in others:
            fleet.await_serving(name)
            writer.assert_held(fleet.client(name))
        # Those that waited to be admitted alarmed nobody.
        logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
        alarms = [line for line in logs.splitlines() if " times" in line or " ()" in line]
        assert not alarms, alarms[:3]


def test_a_directory_of_before_takes_no_part_and_comes_back_as_a_new_member(tmp_path):
    with started(tmp_path, "fsync") as fleet:
        fleet.client("n1").set("kept", "yes")
        for name in NAMES:
            fleet.kill(name)
        fleet.wipe("n2")
        code, text = recover("--data-dir", tmp_path / "n1", "--accept-data-loss")
        assert code == 0 and "n1 is the only member now" in text, text
        code, text = recover("--data-dir", tmp_path / "n1", "--accept-data-loss")
        assert code == 1 and "n1 is the only member already, in generation 2" in text, text
        fleet.restart("n1")
        fleet.await_serving("n1")
        # Its directory is whole, and of the old generation.
        fleet.restart("n3")
        old = fleet.nodes["n3"].started
        wait_until("n3 is refused", lambda: "missed a recovery" in old.tail(), SECONDS)
        assert serves_nothing(fleet, "n3")
        # Both sides say so in their status, and in the log once, not twice a second.
        refuses = "a node that is no member wants a link and gets none: n3 is of generation 1"
        wait_until("n1 tells it", lambda: refuses in problems(fleet, "n1"), SECONDS)
        refused = "n1 refuses n3: the generations of the cluster differ"
        wait_until("n3 tells it", lambda: refused in problems(fleet, "n3"), SECONDS)
        assert "move its data directory away" in problems(fleet, "n3")
        log = (tmp_path / "n1.log").read_text()
        assert log.count("n3 is of generation 1 of the cluster") == 1, log
        assert fleet.client("n1").get("kept") == b"yes"
        fleet.kill("n3")
        fleet.wipe("n3")
        fleet.restart("n2")
        fleet.restart("n3")
        fleet.await_voters("n1", NAMES)
        fleet.await_serving("n3")
        assert fleet.client("n3").get("kept") == b"yes"


@pytest.mark.parametrize("words, told", [
    (["--data-dir", "absent"], "absent"),
    ([], "--data-dir"),
])
def test_what_cannot_be_gone_on_from_is_refused(tmp_path, words, told):
    code, text = recover(*[word if word.startswith("-") else tmp_path / word for word in words])
    assert code != 0 and told in text, text
    assert not (tmp_path / "absent").exists()
