"""`repligo backup` and `repligo restore` as an operator runs them."""

import json

from support.nodes import binary
from support.processes import run_tool


def tool(*words, code=0, seconds=60):
    """What the program has printed, standard output and errors; the exit code must be the given one."""
    got, out, error = run_tool([binary(), *words], seconds)
    text = (out + error).decode(errors="replace")
    assert got == code, f"exit code {got}\n{text}"
    return text


def backup(address, file, *words):
    """Takes a backup of the node there; what it says of it."""
    return json.loads(tool("backup", "--addr", address, "--output", file, "--json", *words))


def verify(file):
    return json.loads(tool("backup", "verify", file, "--json"))


def restore(file, folder, *words):
    return json.loads(tool("restore", file, "--data-dir", folder, "--json", *words))
