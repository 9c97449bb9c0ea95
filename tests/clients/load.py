"""redis-py under load over TLS against one node, until standard input ends: load.py HOST PORT CA [CERTIFICATE KEY].
It does and tells what tests/clients/rust does.
"""

import json
import os
import sys
import threading
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

REPORT = {"stays": 0, "comes": 0, "again": 0, "failed": []}


def client(host, port, authority, *pair):
    """The library connects again and sends again what was under way."""
    files = dict(zip(("ssl_certfile", "ssl_keyfile"), pair, strict=False))
    retry = Retry(ConstantBackoff(0.05), 600)
    return redis.Redis(
        host=host, port=int(port), ssl=True, ssl_ca_certs=authority, socket_timeout=20, retry=retry, **files
    )


def load(name, words):
    key, value, connected = f"{name}:{os.getpid()}", 0, None
    while True:
        value += 1
        try:
            connected = connected or client(*words)
            connected.set(key, value)
            found = connected.get(key)
            assert found == b"%d" % value, f"{key} is {found}, not {value}"
            REPORT[name] += 1
        except Exception as error:  # noqa: BLE001  whatever a client sees
            REPORT["failed"].append(f"{name}: {error!r}")
        if name == "comes":
            connected.close()
            connected = None
        time.sleep(0.002)


def tell():
    while True:
        print(json.dumps(REPORT), flush=True)
        time.sleep(0.1)


for run, words in ((load, ("stays", sys.argv[1:])), (load, ("comes", sys.argv[1:])), (tell, ())):
    threading.Thread(target=run, args=words, daemon=True).start()
sys.stdin.read()
