"""When two replies are the same: exactly, or by the rule of a command whose reply depends on time or order.

An error is always compared byte by byte, whatever the rule.
"""

import re
from collections import Counter

# A command, or a container and its subcommand, and the rule for its replies; all others are `exact`.
RULES = {
    "ttl": "near:2",
    "pttl": "near:2000",
    "expiretime": "near:2",
    "pexpiretime": "near:2000",
    "keys": "set",
    "scan": "page",
    "smembers": "set",
    "sinter": "set",
    "sunion": "set",
    "sdiff": "set",
    "spop": "shape",
    "srandmember": "shape",
    "zrandmember": "shape",
    "time": "shape",
    "info": "info",
    "xpending": "idle:2000",
    "xinfo consumers": "idle:2000",
    "role": "role",
    "hello": "hello",
    "memory usage": "type",
    "dump": "type",
    "command": "type",
    "command count": "type",
    "command docs": "type",
    "command info": "rows",
    "command list": "type",
    "config get": "pairs",
    "client id": "type",
    "client info": "clients",
    "client list": "clients",
    "object idletime": "near:2",
    "slowlog get": "type",
    "slowlog len": "type",
    "latency histogram": "type",
    "latency latest": "type",
}

# Commands whose second word names what is asked; without one they are commands of their own.
_CONTAINERS = {name.split(" ")[0] for name in RULES if " " in name}


def rule_of(words):
    """The rule for a request's reply."""
    names = [word.lower().decode(errors="replace") for word in words[:2]]
    if len(names) == 2 and names[0] in _CONTAINERS:
        return RULES.get(" ".join(names), "exact")
    return RULES.get(names[0] if names else "", "exact")


def same(rule, ours, theirs):
    """None when the replies (`wire.Reply`) agree, else a text that says what differs."""
    if ours.raw == theirs.raw:
        return None
    if rule == "exact" or "-" in (ours.value.kind, theirs.value.kind):
        return "bytes differ"
    name, _, argument = rule.partition(":")
    return _RULES[name](ours.value, theirs.value, argument)


def same_values(rules, ours, theirs):
    """Compares the replies inside of EXEC's, each by the rule of the command that was queued."""
    if ours.kind != theirs.kind or ours.is_null != theirs.is_null or ours.is_null:
        return None if ours == theirs else "bytes differ"
    if not isinstance(ours.data, list) or len(ours.data) != len(theirs.data) or len(rules) != len(ours.data):
        return "number of replies differs"
    for position, (rule, one, other) in enumerate(zip(rules, ours.data, theirs.data, strict=True)):
        if one == other:
            continue
        name, _, argument = rule.partition(":")
        if name == "exact" or "-" in (one.kind, other.kind):
            return f"reply {position} differs"
        if (why := _RULES[name](one, other, argument)) is not None:
            return f"reply {position}: {why}"
    return None


def _type(ours, theirs, _):
    if ours.kind != theirs.kind or ours.is_null != theirs.is_null:
        return f"type {ours.kind!r} instead of {theirs.kind!r}"
    return None


def _shape(ours, theirs, _):
    """Types equal all the way down, and lengths of arrays."""
    if (why := _type(ours, theirs, "")) is not None:
        return why
    if isinstance(ours.data, list):
        if len(ours.data) != len(theirs.data):
            return f"{len(ours.data)} elements instead of {len(theirs.data)}"
        for one, other in zip(ours.data, theirs.data, strict=True):
            if (why := _shape(one, other, "")) is not None:
                return why
    return None


def _near(ours, theirs, argument):
    """Integers of a clock: both positive and close; what is not positive has a meaning of its own."""
    if ours.kind == ":" == theirs.kind and min(ours.data, theirs.data) >= 0:
        if abs(ours.data - theirs.data) <= int(argument):
            return None
        return f"{ours.data} is not within {argument} of {theirs.data}"
    return "bytes differ"


def _idle(ours, theirs, argument):
    """Rows of entries or consumers: all equal, but for the idle time of each, which is near the other's.

    It is the third of what is told of an entry (id, consumer, idle, deliveries), and the last of a consumer.
    """
    if ours.kind != theirs.kind or not isinstance(ours.data, list) or len(ours.data) != len(theirs.data):
        return "bytes differ"
    for one, other in zip(ours.data, theirs.data, strict=True):
        if one == other:
            continue
        if not (isinstance(one.data, list) and isinstance(other.data, list) and len(one.data) == len(other.data)):
            return "bytes differ"
        at = 2 if len(one.data) == 4 else len(one.data) - 1
        for position, (left, right) in enumerate(zip(one.data, other.data, strict=True)):
            if left == right:
                continue
            why = _near(left, right, argument) if position == at else "bytes differ"
            if why is not None:
                return f"{why}, in {one.data} and {other.data}"
    return None


def _items(value):
    return Counter((item.kind, repr(item.data)) for item in value.data)


def _set(ours, theirs, _):
    if ours.kind == theirs.kind and isinstance(ours.data, list) and isinstance(theirs.data, list):
        if _items(ours) == _items(theirs):
            return None
        missing, more = _items(theirs) - _items(ours), _items(ours) - _items(theirs)
        return f"missing {sorted(missing)}, too many {sorted(more)}"
    return "bytes differ"


def _pairs(ours, theirs, _):
    """Maps whose order says nothing, in either protocol's form."""
    if ours.kind == theirs.kind and isinstance(ours.data, list) and ours.pairs() == theirs.pairs():
        return None
    return "the pairs differ"


def _stream(ours, theirs, _):
    """XINFO STREAM: all but in how many nodes the entries are, which in Redis follows from their bytes too."""
    if ours.kind != theirs.kind or not isinstance(ours.data, list) or len(ours.data) != len(theirs.data):
        return "bytes differ"
    for at, (one, other) in enumerate(zip(ours.data, theirs.data, strict=True)):
        is_node_count = at % 2 == 1 and ours.data[at - 1].data in (b"radix-tree-keys", b"radix-tree-nodes")
        if one != other and not (is_node_count and one.kind == other.kind == ":"):
            return f"{one.data} instead of {other.data}"
    return None


def _page(ours, theirs, _):
    """One page of SCAN: a cursor in decimal, and an array of keys."""
    for value in (ours, theirs):
        well_formed = (
            value.kind == "*"
            and len(value.data) == 2
            and value.data[0].kind == "$"
            and value.data[0].data.isdigit()
            and value.data[1].kind == "*"
            and all(item.kind == "$" for item in value.data[1].data)
        )
        if not well_formed:
            return "no page of SCAN"
    return None


def _hello(ours, theirs, _):
    """The same fields in the same order; version, identity and place by shape."""
    if ours.kind != theirs.kind:
        return "type differs"
    one, other = ours.pairs(), theirs.pairs()
    if list(one) != list(other):
        return f"fields {list(one)} instead of {list(other)}"
    by_shape = {b"version", b"id", b"role"}
    for name, value in other.items():
        if (name not in by_shape and one[name] != value) or one[name].kind != value.kind:
            return f"field {name.decode()} differs"
    return None


def _role(ours, theirs, _):
    """The form of the node's own role: a server without replicas is compared exactly in type."""
    leader, follower = ("$", ":", "*"), ("$", "$", ":", "$", ":")
    form = tuple(item.kind for item in ours.data)
    wanted = {b"master": leader, b"slave": follower}.get(ours.data[0].data)
    return None if ours.kind == theirs.kind == "*" and form == wanted else "no reply of ROLE"


_INFO_LINE = re.compile(rb"[a-z0-9_.|-]+:[^\r\n]*", re.IGNORECASE)


def _info(ours, theirs, _):
    """Sections and fields as in Redis: those that both have are in the same section."""
    if ours.kind != theirs.kind:
        return f"type {ours.kind!r} instead of {theirs.kind!r}"
    if ours.data == theirs.data:
        return None
    if bool(ours.data) != bool(theirs.data):
        return "one is empty"
    one, other = _sections(ours.data), _sections(theirs.data)
    if one is None or other is None:
        return "no text of INFO"
    for field, section in one.items():
        if other.get(field, section) != section:
            return f"{field} is in {section} instead of {other[field]}"
    return None


def _sections(text):
    text = text.removeprefix(b"txt:")
    fields, section = {}, b""
    if not text.endswith(b"\r\n"):
        return None
    for line in text.split(b"\r\n"):
        if line.startswith(b"# "):
            section = line[2:]
        elif line and not _INFO_LINE.fullmatch(line):
            return None
        elif line:
            fields[line.split(b":")[0]] = section
    return fields


def _clients(ours, theirs, _):
    """Lines of `name=value` with Redis' fields in Redis' order; later versions added fields at the end."""
    if ours.kind != theirs.kind:
        return f"type {ours.kind!r} instead of {theirs.kind!r}"
    forms = []
    for value in (ours, theirs):
        lines = value.data.removeprefix(b"txt:").split(b"\n")
        if lines[-1] != b"":
            return "the last line has no end"
        forms.append({tuple(word.split(b"=")[0] for word in line.split(b" ")) for line in lines[:-1]})
    if len(forms[0]) != len(forms[1]):
        return "lines of different forms"
    for one, other in zip(*forms, strict=True):
        if one[: len(other)] != other:
            return f"fields {one} instead of {other}"
    return None


def _rows(ours, theirs, _):
    """COMMAND INFO: one row or null for each name; the rows themselves are held against Redis elsewhere."""
    if ours.kind != theirs.kind or len(ours.data) != len(theirs.data):
        return "number of rows differs"
    for one, other in zip(ours.data, theirs.data, strict=True):
        if one.is_null != other.is_null:
            return "a row is null on one side"
        if not one.is_null and one.data[:2] != other.data[:2]:
            return "name or arity differ"
    return None


_RULES = {
    "type": _type,
    "shape": _shape,
    "near": _near,
    "idle": _idle,
    "set": _set,
    "pairs": _pairs,
    "stream": _stream,
    "page": _page,
    "hello": _hello,
    "role": _role,
    "info": _info,
    "clients": _clients,
    "rows": _rows,
}
