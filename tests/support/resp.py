"""RESP2 and RESP3: encodes requests and decodes replies, keeping the exact bytes of each reply.

It is written for the tests and shares nothing with any client library or with the server under test.
"""

from dataclasses import dataclass, field


class Malformed(AssertionError):
    """Bytes that are no RESP."""


@dataclass(frozen=True)
class Value:
    """One decoded reply.

    `kind` is its first byte as text: `+ - : $ * _ # , ( ! = % ~ > |`. `data` is bytes, an integer, None for
    null, a bool, or a list of values; maps are lists of alternating keys and values.
    """

    kind: str
    data: object
    is_null: bool = field(default=False)

    def plain(self):
        """Python's own types: for lookups in tests, where the wire form does not matter."""
        if self.kind in "*~>":
            return None if self.data is None else [item.plain() for item in self.data]
        if self.kind == "%":
            items = [item.plain() for item in self.data]
            return dict(zip(items[::2], items[1::2], strict=True))
        return self.data

    def pairs(self):
        """A map of either protocol as a dictionary of values: RESP2 writes it as a flat array."""
        keys = [item.data for item in self.data[::2]]
        return dict(zip(keys, self.data[1::2], strict=True))


_LINES = b"+-:,(_#"
_BLOBS = b"$!="
_LISTS = b"*~>%|"
_NESTING_MAX = 64


def encode(words):
    """A request as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def decode(buffer, start=0, depth=0):
    """Decodes the reply at `start`: `(value, end)`, or None when it is not complete yet."""
    if depth > _NESTING_MAX:
        raise Malformed("nested too deeply")
    end = buffer.find(b"\r\n", start)
    if end < 0:
        return None
    kind, line, after = buffer[start], bytes(buffer[start + 1 : end]), end + 2
    name = chr(kind)
    if kind in _LINES:
        return Value(name, _line(name, line), name == "_"), after
    if kind not in _BLOBS and kind not in _LISTS:
        raise Malformed(f"unknown type {name!r} before {bytes(buffer[start : start + 60])!r}")
    length = _integer(line)
    if length == -1:
        return Value(name, None, True), after
    if length < 0:
        raise Malformed(f"negative length {length}")
    if kind in _BLOBS:
        if len(buffer) < after + length + 2:
            return None
        if buffer[after + length : after + length + 2] != b"\r\n":
            raise Malformed("a blob does not end with CRLF")
        return Value(name, bytes(buffer[after : after + length])), after + length + 2
    items = []
    for _ in range(length * 2 if kind in b"%|" else length):
        decoded = decode(buffer, after, depth + 1)
        if decoded is None:
            return None
        item, after = decoded
        items.append(item)
    return Value(name, items), after


def _line(kind, text):
    if kind in "+-,":
        return text
    if kind == "#":
        if text not in (b"t", b"f"):
            raise Malformed(f"no boolean: {text!r}")
        return text == b"t"
    if kind == "_":
        if text:
            raise Malformed("a null with content")
        return None
    return _integer(text)


def _integer(text):
    # Python's int() would also take blanks and underscores.
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    if not digits.isdigit():
        raise Malformed(f"no integer: {text!r}")
    return int(text)


_QUOTE = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}


def quoted(word):
    """Bytes as a word of a case file."""
    if word and all(33 <= byte < 127 and byte not in b"\"'\\<>" for byte in word):
        return word.decode()
    shown = word if len(word) <= 80 else word[:60]
    text = "".join(_QUOTE.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in shown)
    return f'"{text}"' + (f"…{len(word)} bytes" if len(word) > 80 else "")
