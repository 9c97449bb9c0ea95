"""What every container platform must see: nodes that start before their names are known, find each other, serve,
and come back on another machine with another address.
"""

import time

from .pods import terminate


def check_life_of_a_cluster(network, machines, start, password, names, is_ready, is_alive):
    """`start(machine)` starts a node, `names` gives the machine of each name in the cluster line, `is_ready` and
    `is_alive` are the platform's probes."""
    for machine in machines:
        start(machine)
    for machine in machines:
        machine.wait_for("is alive while it waits for the others", lambda machine=machine: is_alive(machine))
    time.sleep(1)
    assert not any(is_ready(machine) for machine in machines), "no node is ready before it knows the others"
    network.publish(names)
    for machine in machines:
        machine.wait_for("is ready", lambda machine=machine: is_ready(machine))
    for machine, name in zip(machines, names, strict=True):
        # The name is looked up on another machine.
        other = machines[machine is machines[0]]
        assert other.cli(name, password, "SET", name, "1") == "OK"
        assert other.cli(name, "wrong", "GET", name).find("WRONGPASS") >= 0
    check_that_a_node_may_move(network, machines, start, password, names, is_ready)
    assert terminate(machines, 60) == [0] * len(machines)


def check_that_a_node_may_move(network, machines, start, password, names, is_ready):
    moved, witness = machines[0], machines[1]
    witness.cli("127.0.0.1", password, "SET", "before", "1")
    old = moved.address
    moved.kill()
    assert witness.cli("127.0.0.1", password, "SET", "meanwhile", "1") == "OK", "two of three go on"
    moved.boot()
    assert moved.address != old
    # Another machine has another kernel.
    start(moved, REPLIGO_TEST_BOOT_ID="another-machine")
    network.publish(names)
    moved.wait_for("is ready again", lambda: is_ready(moved))
    for key in ("before", "meanwhile"):
        assert moved.cli("127.0.0.1", password, "GET", key) == "1"
