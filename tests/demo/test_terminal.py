"""`repligo demo` on a terminal of 60 columns, as a person sees it, and `--stay`, as a person goes on."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

from support.nodes import binary
from support.processes import Process
from support.waiting import wait_until
from support.wire import Connection

COLUMNS, ROWS = 60, 30
# The widest line that never changes.
KEYS = "k kill leader   p pause leader   h heal   q end"


class Terminal:
    """A program on a terminal of its own; what it draws is kept as a picture."""

    def __init__(self, argv):
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.all = b""
        self.end, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        argv = [str(word) for word in argv]
        self.child = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # The terminal becomes the child's own, so that ^C is a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        os.set_blocking(self.end, False)

    def read(self):
        try:
            data = os.read(self.end, 1 << 16)
        except (BlockingIOError, OSError):
            return
        self.all += data
        self.stream.feed(data)

    def text(self):
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, key):
        os.write(self.end, key)

    def wait_for(self, pattern, seconds=40):
        return wait_until(f"`{pattern}` on the screen", lambda: re.search(pattern, self.text()), seconds, pause=0.02)

    def close(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 30
            while self.child.poll() is None and time.monotonic() < deadline:
                self.read()
                time.sleep(0.05)
            if self.child.poll() is None:
                self.child.kill()
        self.child.wait()
        os.close(self.end)


@pytest.fixture
def demo(request):
    terminal = Terminal([binary(), "demo", *request.param])
    yield terminal
    terminal.close()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("demo", [("--seconds", "12", "--stay")], indirect=True)
def test_a_person_can_follow_the_demo_on_60_columns(demo):
    demo.wait_for(r"n3 +(leader|follower)")
    picture = demo.text()
    # Nothing is cut at the right edge: the widest lines end before it.
    assert KEYS in picture, picture
    port = re.search(r"attach: redis-cli -p (\d+)   \(any node takes any command\)", picture)
    assert port, picture
    addresses = re.findall(r"^n\d .*127\.0\.0\.1:(\d+)$", picture, re.MULTILINE)
    assert len(addresses) == 3 and port[1] in addresses, picture
    with Connection(f"127.0.0.1:{port[1]}") as connection:
        assert connection.ask("SET", "visitor", "1") == b"OK"

    demo.press(b"k")
    demo.wait_for(r"you: kill -9 n\d, leader of term \d")
    demo.press(b"k")
    demo.wait_for(r"you: (nothing killed, there is no leader right now|not killed, n\d is away)")
    demo.wait_for(r"schedule: kill -9 n\d, leader of term \d")
    demo.wait_for(r"n\d leads term \d, \d+ ms after the kill")

    demo.wait_for(r"stays up until \^C", 90)
    said = demo.all.decode(errors="replace").rpartition("\x1b[?1049l")[2].replace("\r\n", "\n")
    words, _, rest = said.partition("\n{")
    for line in words.splitlines():
        assert len(line) <= COLUMNS, line
    for part in (r"acknowledged +\d+", r"lost +0", r"leaders killed +\d \(1 by you\)", r"longest gap +\d+ ms"):
        assert re.search(part, words), words
    verdict = json.loads("{" + rest.partition("\n")[0])
    assert verdict["lost"] == 0 and verdict["kills_by_you"] == 1, verdict
    check_what_stays(demo, rest)


def check_what_stays(demo, hints):
    """What the hints name works, and a node that is killed comes back."""
    [second, third] = re.findall(r"redis-cli -p (\d+) (?:set greeting hello|get greeting)", hints)
    with Connection(f"127.0.0.1:{second}") as connection:
        assert connection.ask("SET", "greeting", "hello") == b"OK"
    with Connection(f"127.0.0.1:{third}") as connection:
        assert connection.ask("GET", "greeting") == b"hello"
    [row] = re.findall(r"redis-cli -p (\d+ get user:\d+)  # a row", hints)
    port, _, key = row.split()
    with Connection(f"127.0.0.1:{port}") as connection:
        assert connection.ask("GET", key)
    leader = int(re.search(r"kill -9 (\d+)  # n\d leads", hints)[1])
    os.kill(leader, signal.SIGKILL)
    demo.wait_for(r"repligo demo: restarted n\d")
    demo.press(b"\x03")
    assert wait_until("the demo ends after ^C", lambda: (demo.read(), demo.child.poll())[1] is not None, 30)
    assert demo.child.returncode == 0


def test_without_stay_the_words_go_to_stderr_and_stdout_is_one_line_of_json(tmp_path):
    log, errors = tmp_path / "log", tmp_path / "errors"
    line = f'"{binary()}" demo --headless --seconds 4 --dir "{tmp_path}/demo" 2>"{errors}"'
    process = Process(["sh", "-c", line], log)
    assert wait_until("the demo ends", lambda: not process.is_running(), 55)
    output, said = log.read_text(), errors.read_text()
    assert process.child.returncode == 0, said
    assert json.loads(output)["ok"] and output.count("\n") == 1
    assert re.search(r"^attach|: attach: redis-cli -p \d+", said, re.MULTILINE), said
    assert re.search(r"^verdict +good", said, re.MULTILINE), said
