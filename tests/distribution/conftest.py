"""What is handed out, made once from the binary under test."""

import pytest

from support.nodes import binary
from support.processes import ROOT, run_tool


class Distribution:
    """The files of `cargo xtask dist`."""

    def __init__(self, folder):
        self.folder = folder
        argv = ["cargo", "xtask", "dist", "--binary", binary(), "--out", folder]
        code, output, errors = run_tool(["env", "-C", ROOT, *argv], seconds=400)
        assert code == 0, (output + errors).decode(errors="replace")[-3000:]
        [self.tarball] = folder.glob("repligo-*.tar.gz")
        [self.package] = folder.glob("repligo_*.deb")
        [self.materials] = folder.glob("*.cdx.json")
        self.sums = folder / "SHA256SUMS"


@pytest.fixture(scope="session")
def distribution(tmp_path_factory):
    return Distribution(tmp_path_factory.mktemp("dist"))
