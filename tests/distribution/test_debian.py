"""The Debian package: judged by lintian, and installed, upgraded, removed and purged on a copy of this system that
is gone afterwards (an overlay in a mount namespace; the real one is not touched).
"""

import os
import shlex
import subprocess

import pytest

from support.namespaces import needs_namespaces
from support.processes import run_tool

pytestmark = pytest.mark.timeout(500)

# A file system of its own for what the test writes, over a read-only view of this one.
OVERLAY = """
set -e
mount -t tmpfs none {folder}
mkdir {folder}/upper {folder}/work {folder}/system
mount -t overlay overlay -o lowerdir=/,upperdir={folder}/upper,workdir={folder}/work {folder}/system
mount -t proc none {folder}/system/proc
mount --bind /dev {folder}/system/dev
ip link set lo up
cp {package} {folder}/system/repligo.deb
printf '#!/bin/sh\\nexit 101\\n' > {folder}/system/usr/sbin/policy-rc.d
chmod +x {folder}/system/usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
exec chroot {folder}/system sh -exc {script}
"""


def on_a_copy_of_this_system(script, package, folder):
    folder.mkdir()
    text = OVERLAY.format(folder=folder, package=package, script=shlex.quote(script))
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", text]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    completed = subprocess.run(
        argv, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL, env=environment
    )
    said = completed.stdout + completed.stderr
    if "mount:" in said:
        pytest.skip(f"no overlay on this machine: {said}")
    assert completed.returncode == 0, said
    return completed.stdout


def test_lintian_finds_nothing(distribution):
    argv = ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", distribution.package]
    code, output, errors = run_tool(argv, seconds=200)
    assert code == 0, (output + errors).decode()


def test_files_lie_where_debian_looks_for_them(distribution):
    listing = run_tool(["dpkg-deb", "--contents", distribution.package])[1].decode().splitlines()
    files = {line.split()[5].lstrip("."): line.split()[:2] for line in listing}
    for path, mode in {
        "/usr/bin/repligo": "-rwxr-xr-x",
        "/etc/repligo/repligo.toml": "-rw-r--r--",
        "/lib/systemd/system/repligo.service": "-rw-r--r--",
        "/usr/share/man/man1/repligo.1.gz": "-rw-r--r--",
        "/usr/share/bash-completion/completions/repligo": "-rw-r--r--",
        "/usr/share/doc/repligo/repligo.cdx.json": "-rw-r--r--",
    }.items():
        assert files[path] == [mode, "root/root"], path
    assert not any(path.startswith("/var") for path in files), "data is made by the service"


@needs_namespaces
def test_it_installs_serves_upgrades_and_goes(distribution, tmp_path):
    script = """
        dpkg -i /repligo.deb
        id repligo
        test "$(stat -c '%U:%G %a' /etc/repligo/repligo.toml)" = 'root:repligo 640'
        test ! -e /etc/systemd/system/multi-user.target.wants/repligo.service
        repligo config check /etc/repligo/repligo.toml

        # As the unit does: its user, its state directory, its command.
        install -d -o repligo -g repligo -m 0700 /var/lib/repligo
        setpriv --reuid repligo --regid repligo --clear-groups --no-new-privs --bounding-set=-all \\
            repligo serve --config /etc/repligo/repligo.toml > /served & served=$!
        for try in $(seq 300); do grep -q '^repligo ready' /served && break; sleep 0.1; done
        test "$(redis-cli set k v)" = OK
        kill "$served"; wait "$served"

        echo '# an own line' >> /etc/repligo/repligo.toml
        dpkg -i /repligo.deb
        grep -q 'an own line' /etc/repligo/repligo.toml
        dpkg -r repligo
        test ! -e /usr/bin/repligo
        test -e /etc/repligo/repligo.toml
        test -d /var/lib/repligo/data
        dpkg -P repligo
        test ! -e /etc/repligo
        test ! -e /var/lib/repligo
        echo all of it
    """
    output = on_a_copy_of_this_system(script, distribution.package, tmp_path / "system")
    assert output.rstrip().endswith("all of it")
    assert not os.path.exists("/etc/repligo"), "this system is as it was"
