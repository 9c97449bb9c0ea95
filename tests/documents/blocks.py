"""Fenced blocks of README.md and docs/*.md, in their order, with where they stand."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Languages of blocks that a reader types or saves, and so expects to work.
RUNNABLE = ("sh", "toml", "python", "haproxy")
# Drawings, layouts and output.
PROSE = ("text",)


@dataclass
class Block:
    """One fenced block."""

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self):
        return f"{self.document}:{self.line}"

    def facts(self):
        return asdict(self)


def documents():
    """README.md and all pages of docs."""
    return ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def blocks(document):
    """All fenced blocks of one document."""
    return parse(document, (ROOT / document).read_text())


def parse(document, text):
    found, open_block = [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"^\s*```(.*)$", line)
        if fence is None:
            if open_block is not None:
                open_block.text += line + "\n"
        elif open_block is None:
            open_block = Block(document, number, fence.group(1).strip(), "")
        else:
            found.append(open_block)
            open_block = None
    if open_block is not None:
        raise ValueError(f"{open_block.place}: the block has no end")
    return found


def file_name(block):
    """The file into which a reader saves the block: its first line says so in a comment."""
    name = re.fullmatch(r"# ([\w./-]+\.\w+)", block.text.splitlines()[0])
    return name.group(1) if name else None


def expected(line):
    """What a command line says that it prints: `# → text` at its end."""
    _, arrow, text = line.partition("# → ")
    return text.strip() if arrow else None
