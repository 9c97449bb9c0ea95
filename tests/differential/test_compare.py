"""The comparison judged: what is the same passes, and a corrupted reply never does."""

import pytest

from support.resp import Malformed, decode, encode
from support.wire import Reply

from . import script
from .compare import rule_of, same, same_values


def reply(raw):
    value, end = decode(raw)
    assert end == len(raw)
    return Reply(raw, value)


# Rule, what Redis says, what is the same by this rule, and what is not.
JUDGED = [
    ("exact", b"+OK\r\n", [b"+OK\r\n"], [b"+ok\r\n", b"$2\r\nOK\r\n", b"+OK \r\n"]),
    ("near:2", b":100\r\n", [b":98\r\n", b":102\r\n"], [b":97\r\n", b":-1\r\n", b"$3\r\n100\r\n", b"-ERR x\r\n"]),
    ("near:2", b":-1\r\n", [b":-1\r\n"], [b":-2\r\n", b":0\r\n", b":1\r\n"]),
    ("set", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", [b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"], [b"*1\r\n$1\r\na\r\n", b"*0\r\n"]),
    ("set", b"*2\r\n$1\r\na\r\n$1\r\na\r\n", [], [b"*1\r\n$1\r\na\r\n", b"*2\r\n$1\r\na\r\n+a\r\n"]),
    ("pairs", b"%1\r\n$1\r\na\r\n:1\r\n", [], [b"%1\r\n$1\r\na\r\n:2\r\n", b"*2\r\n$1\r\na\r\n:1\r\n", b"%0\r\n"]),
    ("shape", b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n", [b"*2\r\n$2\r\n99\r\n$0\r\n\r\n"], [b"*1\r\n$1\r\n1\r\n", b"*-1\r\n"]),
    ("type", b"$1\r\na\r\n", [b"$3\r\nbcd\r\n"], [b"$-1\r\n", b"+a\r\n", b"-ERR no\r\n"]),
    ("page", b"*2\r\n$1\r\n0\r\n*0\r\n", [b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n"], [b"*2\r\n:0\r\n*0\r\n", b"*1\r\n*0\r\n"]),
    ("info", b"$10\r\n# A\r\nb:1\r\n\r\n", [b"$10\r\n# A\r\nb:2\r\n\r\n"],
     [b"$10\r\n# X\r\nb:1\r\n\r\n", b"$0\r\n\r\n", b"$3\r\nb:1\r\n"]),
    ("clients", b"$9\r\nid=1 a=2\n\r\n", [b"$9\r\nid=7 a=3\n\r\n"], [b"$9\r\na=2 id=1\n\r\n", b"$8\r\nid=1 a=2\r\n"]),
    ("hello", b"*2\r\n$5\r\nproto\r\n:2\r\n", [], [b"*2\r\n$5\r\nproto\r\n:3\r\n", b"%1\r\n$5\r\nproto\r\n:2\r\n"]),
    ("type", b"-ERR one\r\n", [], [b"-ERR two\r\n", b"+OK\r\n"]),
]


@pytest.mark.parametrize(("rule", "theirs", "equal", "different"), JUDGED)
def test_a_corrupted_reply_is_found(rule, theirs, equal, different):
    for raw in [theirs, *equal]:
        assert same(rule, reply(raw), reply(theirs)) is None, raw
    for raw in different:
        assert same(rule, reply(raw), reply(theirs)) is not None, raw


def test_replies_of_exec_are_judged_one_by_one():
    theirs = reply(b"*2\r\n:100\r\n+OK\r\n").value
    rules = ["near:2", "exact"]
    assert same_values(rules, reply(b"*2\r\n:99\r\n+OK\r\n").value, theirs) is None
    for raw in (b"*2\r\n:99\r\n+ok\r\n", b"*2\r\n:90\r\n+OK\r\n", b"*1\r\n:100\r\n", b"*-1\r\n", b"*2\r\n-ERR\r\n+OK\r\n"):
        assert same_values(rules, reply(raw).value, theirs) is not None, raw


def test_rules_belong_to_commands():
    assert rule_of([b"TtL", b"k"]) == "near:2"
    assert rule_of([b"GET", b"k"]) == "exact" and rule_of([b"keys", b"x"]) == "set"
    assert rule_of([b"command"]) == "type" and rule_of([b"COMMAND", b"GETKEYS"]) == "exact"
    assert rule_of([b"client", b"LIST"]) == "clients" and rule_of([b"client", b"SETNAME"]) == "exact"


def test_the_codec_takes_what_is_well_formed_and_nothing_else():
    assert encode(["GET", b"\x00"]) == b"*2\r\n$3\r\nGET\r\n$1\r\n\x00\r\n"
    for raw in (b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(12\r\n", b"=7\r\ntxt:abc\r\n", b"~1\r\n+a\r\n", b">1\r\n:1\r\n", b"%0\r\n"):
        assert decode(raw)[1] == len(raw)
        assert all(decode(raw[:cut]) is None for cut in range(len(raw))), raw
    for raw in (b"?x\r\n", b"$-2\r\n", b":1_0\r\n", b": 1\r\n", b"#x\r\n", b"_x\r\n", b"$1\r\nab\r\n"):
        with pytest.raises(Malformed):
            decode(raw)


def test_case_files_are_read_as_they_are_written():
    case, other = script.parse(
        '== one\n# remark\nSET k "a\\x00\\r\\n\'" EX 1\n2> ~set KEYS *\n.raw close "x"\n.sleep 0.5\n'
        "== two\n.only RESP3\n.pipeline\nPING\nGET <x*3>\n.end\n.scan COUNT 5\n",
        "file",
    )
    assert case.steps[0] == script.Request((b"SET", b"k", b"a\x00\r\n'", b"EX", b"1"))
    assert case.steps[1] == script.Request((b"KEYS", b"*"), 2, "set")
    assert case.steps[2:] == [script.Raw(b"x", None), script.Sleep(0.5)]
    assert other.protocols == (3,) and len(other.steps[0].requests) == 2
    assert script.expand(b"<x*3>") == b"xxx" and script.expand(b"<now+5>", 10.9) == b"15"
    with pytest.raises(script.BadScript, match="file.txt:2"):
        script.parse("== one\n.nothing\n", "file")
