"""Every command and example of README.md and docs works as it is written: each block is run in a folder of its
document, in a network of its own, or stands in NOT_RUN with the reason.
"""

import itertools
import json
import os
import re
import subprocess
import sys

import pytest

from documents.blocks import PROSE, ROOT, RUNNABLE, Block, blocks, documents, expected, file_name, parse
from support.namespaces import needs_namespaces
from support.nodes import binary
from support.processes import TOOLS, run_tool
from support.programs import haproxy_wrapper

# Blocks that cannot run here, by document and first line, with the reason. What can still be judged of them is.
NOT_RUN = {
    ("README.md", "cargo xtask test"): "it is what runs this test",
    ("README.md", "repligo serve --name n1 --listen 10.0.0.1:6379"): "addresses of three machines; flags are judged",
    ("docs/write-through.md", "UPDATE repligo_lane SET gen=?"): "statements that Repligo executes itself",
}
SECONDS = 90


def reason(block):
    """Why a block is not run; None for one that must be."""
    first = block.text.splitlines()[0]
    for (document, start), why in NOT_RUN.items():
        if block.document == document and first.startswith(start):
            return why
    return None


def all_blocks():
    return [block for document in documents() for block in blocks(document)]


def test_every_block_is_run_or_listed_with_a_reason():
    unknown = [
        f"{block.place} ({block.language or 'no language'})"
        for block in all_blocks()
        if block.language not in (*RUNNABLE, *PROSE) and reason(block) is None
    ]
    assert not unknown, f"neither run nor listed in NOT_RUN: {unknown}"
    used = {(block.document, why) for block in all_blocks() if (why := reason(block))}
    assert len(used) == len(NOT_RUN), "NOT_RUN lists blocks that no document has"


def test_examples_write_into_the_folder_in_which_they_are_typed():
    """What an example leaves elsewhere would be there when somebody follows it a second time."""
    absolute = [block.place for block in all_blocks() if block.language in RUNNABLE and "/tmp/" in block.text]
    assert not absolute, absolute


def test_pages_can_be_followed_one_after_the_other_in_one_folder():
    """A database belongs to the cluster that wrote to it first, and a file of another page would be overwritten."""
    made = re.compile(r"^(?:sqlite3|repligo secret new) (\S+)(?: 'CREATE|$)|--data-dir (\S+)|--dir (\S+)", re.M)
    owners = {}
    for block in all_blocks():
        if block.language not in RUNNABLE or reason(block):
            continue
        names = [next(filter(None, groups)) for groups in made.findall(block.text)]
        for name in filter(None, [*names, file_name(block)]):
            owners.setdefault(name, set()).add(block.document)
    # The cluster for a try is the same on every page: it has no database, and one that runs is told.
    owners.pop("cluster")
    shared = {name: sorted(pages) for name, pages in owners.items() if len(pages) > 1}
    assert not shared, shared
    assert {"app.db", "three.db", "people.db", "repligo.toml", "three-n2", "mapped"} <= set(owners)


def test_serve_lines_that_are_not_run_have_valid_flags(tmp_path):
    lines = [block for block in all_blocks() if reason(block) and block.text.startswith("repligo serve")]
    assert lines, "README has the start line of a real cluster"
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("a long password\n")
    assert not any(word.startswith("--insecure") for block in lines for word in block.text.split())
    for block in lines:
        words = block.text.replace("\\\n", " ").split()
        words = [password if word == "password" else word for word in words]
        code, output, errors = run_tool([binary(), "config", "show", *words[2:]], env={"PATH": os.environ["PATH"]})
        assert code == 0, f"{block.place}: {errors.decode()}"
        assert b"10.0.0.1:6379" in output


def help_of(words, cache):
    """Help of the deepest command that these words begin with."""
    for count in range(len(words), 0, -1):
        names = tuple(words[:count])
        if names not in cache:
            code, output, _ = run_tool([binary(), *names, "--help"])
            cache[names] = output.decode() if code == 0 else None
        if cache[names]:
            return cache[names]
    return None


def test_commands_named_in_sentences_exist_and_have_the_flags_that_are_named():
    cache, flags = {}, 0
    for document in documents():
        for text in re.findall(r"`repligo ([a-z][^`]*)`", (ROOT / document).read_text()):
            words = text.split()
            if "ready" in words:
                continue  # what it says, not what one types
            names = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z]+", word), words))[:2]
            told = help_of(names, cache)
            assert told, f"{document}: there is no `repligo {text}`"
            for flag in re.findall(r"--[a-z][a-z-]*", text):
                flags += 1
                assert re.search(rf"{flag}(?![a-z-])", told), f"{document}: `repligo {text}` has no {flag}"
    assert flags > 20


@needs_namespaces
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", documents())
def test_examples_work_as_written(document, tmp_path):
    steps = [block for block in blocks(document) if block.language in RUNNABLE and reason(block) is None]
    if not steps:
        return
    code, results, errors = run_blocks(steps, tmp_path)
    wrong = [result for result in results if result["problem"]]
    assert not wrong, "\n".join(f"{result['place']}: {result['problem']}" for result in wrong)
    assert code == 0 and len(results) == len(steps), errors


@needs_namespaces
@pytest.mark.parametrize(
    ("language", "text", "problem"),
    [
        ("sh", "false\n", "ended with 1"),
        ("sh", "echo one  # → two\n", "is not in the output"),
        ("sh", "echo ERR unknown command\n", "refused"),
        ("toml", "[origin]\n", "first line must say the file"),
        ("toml", "# r.toml\nlisen = 1\n", "lisen"),
    ],
)
def test_a_reader_would_notice(language, text, problem, tmp_path):
    _, results, errors = run_blocks([Block("x.md", 1, language, text)], tmp_path)
    assert results and problem in (results[0]["problem"] or ""), (results, errors)


def test_blocks_are_found_with_their_places():
    found = parse("x.md", "a\n```sh\ntrue\n```\n```toml\n# a.toml\nb = 1\n```\n")
    assert [(block.place, block.language) for block in found] == [("x.md:2", "sh"), ("x.md:5", "toml")]
    assert file_name(found[1]) == "a.toml" and file_name(found[0]) is None
    assert expected("redis-cli get a   # → b c") == "b c" and expected("redis-cli get a") is None


def run_blocks(steps, folder):
    """Runs blocks in namespaces of their own; returns (code, results, errors)."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "repligo").symlink_to(binary())
    haproxy_wrapper(programs / "haproxy")
    if binary() != ROOT / "target/release/repligo":
        cargo_of_the_binary_under_test(programs / "cargo")
    work = folder / "work"
    work.mkdir()
    path = os.pathsep.join([str(programs), str(TOOLS / "venv/bin"), str(TOOLS / "bin"), os.environ["PATH"]])
    orders = folder / "orders.json"
    environment = {"PATH": path, "PYTHONPATH": ""}
    facts = {"folder": str(work), "repository": str(ROOT), "seconds": SECONDS, "environment": environment}
    orders.write_text(json.dumps(facts | {"steps": [block.facts() for block in steps]}))
    unshare = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    completed = subprocess.run(
        [*unshare, sys.executable, "-m", "documents.runner", str(orders)],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=500,
        env={key: value for key, value in os.environ.items() if not key.startswith("REPLIGO_")},
    )
    results = [json.loads(line) for line in completed.stdout.splitlines()]
    return completed.returncode, results, completed.stderr


def cargo_of_the_binary_under_test(path):
    """When another binary than this checkout's release build is tested, `cargo run` must not build one."""
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in "run --release -- "*) shift 3; exec "{binary()}" "$@";; esac\n'
        'echo "only cargo run --release -- … is known here" >&2; exit 1\n'
    )
    path.chmod(0o755)
