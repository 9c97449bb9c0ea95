"""A certificate that ends soon is told in the metrics, in the status, in the log, until there is a new one."""

import json
import re
import time
import urllib.request

import pytest

from support.nodes import binary
from support.processes import run_tool
from support.waiting import wait_until
from support.wire import Connection

from .test_client_tls import HOST, Server, cert, pki  # noqa: F401  (the fixture)


@pytest.mark.timeout(60)
def test_the_end_of_a_certificate_is_told_until_there_is_a_new_one(pki, tmp_path):  # noqa: F811
    short = tmp_path / "short"
    cert("server", "--name", "localhost", HOST, "--days", "5", "--ca", pki / "one", "--out", short)
    with Server(tmp_path, pki) as server:
        admin = re.search(r"admin=(\S+)", server.text())[1]

        def metric(name):
            with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as page:
                found = re.search(rf'^{name}{{shown_to="clients"}} (\S+)$', page.read().decode(), re.M)
            return found and int(found[1])

        def status():
            code, output, errors = run_tool([binary(), "status", "--json", "--addr", f"{HOST}:{server.plain}"])
            assert code == 0, errors
            return json.loads(output)

        def is_left(days):
            return lambda: metric("repligo_certificate_days_left") == days

        wait_until("a year is left", is_left(364), 10)
        assert status()["problems"] == [] and status()["tls"] == f"{HOST}:{server.tls}"
        server.put(short)
        wait_until("days are left", is_left(4), 10)
        end = metric("repligo_certificate_end_seconds")
        assert abs(end - (time.time() + 5 * 86_400)) < 120
        (problem,) = status()["problems"]
        assert problem["what"] == "the certificate that n1 shows to clients ends within 5 days"
        assert status()["health"] == "healthy", "everybody is served"
        wait_until("the log says so", lambda: "ends within 5 days; give a new one" in server.text(), 10)
        server.put(pki / "one")
        wait_until("a year is left again", is_left(364), 10)
        assert status()["problems"] == []
        assert server.text().count("ends within") == 1


def test_info_and_status_tell_the_listeners(pki, tmp_path):  # noqa: F811
    with Server(tmp_path, pki, "--unix-socket", tmp_path / "s") as server:
        with Connection(f"{HOST}:{server.plain}") as connection:
            info = connection.ask("INFO", "server").decode()
        assert re.findall(r"^listener\d:(.*)\r$", info, re.M) == [
            f"name=tcp,bind={HOST},port={server.plain}",
            f"name=unix,bind={tmp_path / 's'}",
            f"name=tls,bind={HOST},port={server.tls}",
        ]
        code, output, _ = run_tool([binary(), "status", "--addr", f"{HOST}:{server.plain}"])
        assert code == 0 and f"clients over TLS: {HOST}:{server.tls}" in output.decode()
