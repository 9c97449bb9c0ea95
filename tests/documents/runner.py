"""Runs the blocks of one document as a reader would, in a folder of its own. Started by test_documents.py in
network and process namespaces of its own, so the literal ports of the documents are free and nothing outlives it.

Input: a JSON file with `folder`, `repository`, `steps` (blocks) and `seconds`. Output: one JSON line per step.
A `sh` block is one terminal: it must end with code 0, or say that it is ready, and then it goes on running.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from documents.blocks import Block, expected, file_name

# What a program in the foreground says when others can use it.
READY = re.compile(r"^repligo (dev )?ready ", re.MULTILINE)
# redis-cli ends with 0 whatever it is answered.
REFUSED = re.compile(r"^\(?(error|ERR|NOAUTH|NOPERM|UNKNOWN|NOLEADER|ORIGINDOWN|CROSSLANE|STALE|OOM|READONLY)\b", re.M)
# What each saved file is judged with.
JUDGES = {".toml": ["repligo", "config", "check", "--file-only"], ".cfg": ["haproxy", "-c", "-f"]}


class Wrong(Exception):
    """What a reader would stumble over."""


class Reader:
    """Somebody who types one block after the other, each into a terminal of its own."""

    def __init__(self, orders):
        self.folder = Path(orders["folder"])
        self.repository = orders["repository"]
        self.seconds = orders["seconds"]
        self.count = 0

    def run(self, block):
        self.count += 1
        if block.language == "sh":
            self.type(block)
        elif block.language == "python":
            self.finish(["python", "-c", block.text], self.folder)
        else:
            self.save(block)

    def save(self, block):
        name = file_name(block)
        if name is None:
            raise Wrong("the first line must say the file, such as: # repligo.toml")
        (self.folder / name).write_text(block.text)
        judge = JUDGES.get(Path(name).suffix)
        if judge is None:
            raise Wrong(f"nothing judges {name}")
        self.finish([*judge, name], self.folder)

    def type(self, block):
        # What needs the sources is typed where they are.
        needs_sources = re.search(r"^cargo ", block.text, re.MULTILINE)
        output = self.finish(["bash", "-euc", block.text], self.repository if needs_sources else self.folder)
        lines = block.text.splitlines()
        wanted = [text for text in map(expected, lines) if text]
        for text in wanted:
            if text not in output:
                raise Wrong(f"`{text}` is not in the output:\n{output}")
        for match in REFUSED.finditer(output):
            line = output[match.start() :].splitlines()[0]
            if not any(text in line for text in wanted):
                raise Wrong(f"refused: {line}\n{output}")

    def finish(self, argv, folder):
        """Runs to the end, or until it says that it is ready; returns the output."""
        log = self.folder / f".output-{self.count}"
        with open(log, "wb") as output:
            child = subprocess.Popen(
                argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + self.seconds
        while True:
            code = child.poll()
            text = log.read_text(errors="replace")
            if code == 0 or (code is None and READY.search(text)):
                return text
            if code is not None:
                raise Wrong(f"ended with {code}:\n{text[-3000:]}")
            if time.monotonic() > deadline:
                raise Wrong(f"neither ended nor said that it is ready in {self.seconds} s:\n{text[-3000:]}")
            time.sleep(0.02)


def main():
    orders = json.loads(Path(sys.argv[1]).read_text())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ.update(orders["environment"])
    reader = Reader(orders)
    for facts in orders["steps"]:
        block, problem = Block(**facts), None
        try:
            reader.run(block)
        except Wrong as wrong:
            problem = str(wrong)
        print(json.dumps({"place": block.place, "problem": problem}), flush=True)
        if problem:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
