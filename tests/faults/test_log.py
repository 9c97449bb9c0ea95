"""What an operator reads in the log: which program, where, on what, for whom it waits, who leads; and no false alarm."""

import re

from support.nodes import Cluster
from support.waiting import wait_until


def log(cluster, node):
    return (cluster.directory / f"dev/{node.name}.log").read_text(errors="replace")


def alarms(text):
    return [line for line in text.splitlines() if re.search(r" (WARN|ERROR) ", line)]


def test_the_log_names_program_place_and_leader_and_ordinary_restarts_raise_no_alarm(tmp_path):
    with Cluster(tmp_path) as cluster:
        for node in cluster.nodes:
            text = log(cluster, node)
            said = [
                r"starting version=\d+\.\d+\.\d+",
                rf"name={node.name} resp={node.address}",
                rf"data_dir={node.data_dir}",
                r"durability=os",
                r"forming a new cluster: waiting for n",
                r"the cluster has formed",
                r"role changed .*leader=n[123]",
            ]
            for part in said:
                assert re.search(part, text), (part, text)
            assert not re.search(r"leader=(\d|none)", text), text
        # One after the other is killed or stopped, and comes back.
        for turn, node in enumerate(cluster.nodes):
            if turn % 2:
                pid = node.pid
                node.signal(15)
                wait_until(f"{node.name} has stopped", lambda n=node, p=pid: n.pid != p, 20)
            else:
                node.kill()
            cluster.leader()
            node.start(cluster.directory / f"dev/{node.name}.log")
            wait_until(f"{node.name} is back", lambda n=node: n.role() != "none", 20)
        cluster.leader()
        for node in cluster.nodes:
            assert alarms(log(cluster, node)) == [], log(cluster, node)


def test_a_node_that_lost_its_majority_says_what_happens_to_requests_and_who_is_there(tmp_path):
    with Cluster(tmp_path) as cluster:
        stays, *others = cluster.nodes
        for node in others:
            node.kill()
        said = "no leader, requests are refused after 5000 ms: a majority of the nodes must be up; no other node is connected"
        wait_until("it is told", lambda: said in log(cluster, stays), 20, pause=0.1)
