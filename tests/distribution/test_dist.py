"""`cargo xtask dist`: the tarball as somebody unpacks it, its checksums, and its bill of materials."""

import json
import re
import tomllib

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from distribution.conftest import Distribution
from support.processes import ROOT, Process, run_tool
from support.redis_server import free_port
from support.wire import Connection

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def unpacked(distribution, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    run("tar", "-xzf", distribution.tarball, "-C", folder)
    [root] = folder.iterdir()
    assert f"{root.name}.tar.gz" == distribution.tarball.name, "it unpacks into one folder of its own name"
    return root


def run(*words, **options):
    code, output, errors = run_tool(words, **options)
    assert code == 0, f"{words}: {(output + errors).decode(errors='replace')}"
    return output.decode()


def test_checksums_cover_every_file(distribution):
    checked = run("env", "-C", distribution.folder, "sha256sum", "--check", "--strict", "SHA256SUMS")
    others = {path.name for path in distribution.folder.iterdir()} - {"SHA256SUMS"}
    assert {line.removesuffix(": OK") for line in checked.splitlines()} == others


def test_the_same_sources_and_binary_give_the_same_bytes(distribution, tmp_path):
    again = Distribution(tmp_path / "again")
    assert again.sums.read_text() == distribution.sums.read_text()


def test_the_unpacked_binary_is_stripped_and_serves(unpacked, tmp_path):
    program = unpacked / "repligo"
    sections = run("readelf", "--wide", "--sections", program)
    assert not any(name in sections for name in (".symtab", ".debug_info", ".debug_line"))
    version = json.loads(run(program, "version", "--json"))["version"]
    assert f"repligo-{version}-" in unpacked.name
    ports = [free_port(), free_port()]
    # The peer port would follow the client port, which may be too high for that.
    flags = ["--listen", f"127.0.0.1:{ports[0]}", "--admin-listen", f"127.0.0.1:{ports[1]}"]
    flags += ["--peer-listen", "127.0.0.1:0"]
    process = Process([program, "serve", *flags, "--data-dir", tmp_path / "data"], tmp_path / "log", env={})
    process.wait_for("it is ready", lambda: "repligo ready" in process.tail(), 30)
    with Connection(f"127.0.0.1:{ports[0]}") as connection:
        assert connection.ask("SET", "k", "v") == b"OK" and connection.ask("GET", "k") == b"v"
    assert process.stop() == 0


def test_completions_and_pages_are_those_of_this_version(unpacked):
    program = unpacked / "repligo"
    for shell in ("bash", "zsh", "fish"):
        assert (unpacked / f"completions/repligo.{shell}").read_text() == run(program, "completions", shell)
    run("bash", "-n", unpacked / "completions/repligo.bash")
    main = (unpacked / "man/repligo.1").read_text()
    assert main == run(program, "man")
    listed = run(program, "--help").partition("Commands:")[2].partition("Options:")[0]
    commands = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    assert {"serve", "demo", "status"} <= set(commands)
    for command in commands:
        page = (unpacked / f"man/repligo-{command}.1").read_text()
        assert page.startswith(".ie") or ".TH" in page


def test_what_the_documents_point_to_is_in_the_tarball(unpacked):
    for document in [unpacked / "README.md", *(unpacked / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([\w./-]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"
    for path in re.findall(r"`(packaging/[\w./-]+)`", (unpacked / "docs/connect.md").read_text()):
        assert (unpacked / path).exists(), path


def test_the_bill_of_materials_is_valid_and_lists_what_is_linked(distribution):
    text = distribution.materials.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    bill = json.loads(text)
    listed = {(item["name"], item["version"]): item for item in bill["components"]}
    tree = ["tree", "--package", "repligo", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    target = distribution.tarball.name.removesuffix(".tar.gz").split("-", 2)[2]
    output = run("env", "-C", ROOT, "cargo", *tree, "--target", target, "--locked", seconds=60)
    linked = {(name, version[1:]) for name, version in (line.split()[:2] for line in output.splitlines() if line)}
    own = {("repligo", bill["metadata"]["component"]["version"])}
    assert linked - own == {key for key in listed if key[0] != "sqlite"}
    assert any(name == "sqlite" for name, _ in listed), "the C code that a crate brings"
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    for key, item in listed.items():
        assert item["licenses"], key
        if sums.get(key):
            assert item["hashes"] == [{"alg": "SHA-256", "content": sums[key]}], key
    references = {item["bom-ref"] for item in [*bill["components"], bill["metadata"]["component"]]}
    assert {entry["ref"] for entry in bill["dependencies"]} <= references
    assert all(need in references for entry in bill["dependencies"] for need in entry["dependsOn"])
