"""Keyspace notifications: the events of Redis, in its order, at every node that applies the write."""

import time

import pytest

from differential.generate import Generator
from support.nodes import Cluster
from support.resp import encode
from support.waiting import wait_until
from support.wire import Connection

END = b"the end"
# What is compared request by request, in turn on empty databases.
REQUESTS = """
set a 1; set a 2 EX 100; set a 3 KEEPTTL; set a 4 NX; set b 4 XX; setex a 10 v; psetex a 10000 v; setnx n 1; getset n 2; setnx n 3
mset a 1 b 2 a 3; msetnx c 1 d 2; msetnx c 1 e 2; incr i; incrby i 5; decr i; incrbyfloat i 1.5; append s x; append s y
setrange s 1 zz; setrange s 0 {empty}; setrange new 3 x; getdel s; getdel s; getex a EX 50; getex a PERSIST; getex a; getex a EXAT 1
set e 1; expire e 100; pexpire e 100000; expire e 50 NX; persist e; persist e; expireat e 1; expire e 10; set e 1; pexpire e -1
set r 1; set q 2; rename r q; rename q z; renamenx z y; set x 1; renamenx x y; rename y y; del x y nothing x; unlink z i
rpush l a b c d e f; lpush l x; rpushx l y; lpushx none y; lpop l; rpop l 2; lset l 0 z; linsert l BEFORE z w; linsert l BEFORE no w
lrem l 0 z; lrem l 0 no; ltrim l 0 2; lmove l m LEFT RIGHT; lmove l l LEFT RIGHT; lmove l l LEFT LEFT; rpoplpush l m; rpoplpush none m
lmpop 2 none m LEFT; lmpop 1 m RIGHT COUNT 10; blpop m l 1; rpush l 1 2 3; brpop l 1; blmove l m RIGHT LEFT 1; brpoplpush l m 1
blmpop 1 2 none m LEFT; rpush one 1; lmove one two LEFT LEFT; rpush one 1; lmove one one LEFT RIGHT; ltrim two 5 6; lpop one; del m l
sadd s a b c; sadd s a; srem s a; srem s no; smove s t b; smove s t b; smove s s c; sadd t c; smove s t c; spop t 10; sadd s a b; spop s 0
sadd t b c; sinterstore u s t; sunionstore u s t; sdiffstore u s t; sinterstore u s none; sinterstore u none s; srem s a b; spop t 5
hset h f 1; hset h f 1; hmset h g 2 k 3; hsetnx h f 5; hsetnx h m 5; hincrby h f 2; hincrbyfloat h f 0.5; hdel h no; hdel h g k; hdel h f m
zadd z 1 a; zadd z 1 a; zadd z NX 2 a; zadd z INCR 2 a; zadd z XX INCR 2 no; zadd z GT 1 a; zincrby z 3 b; zadd z 1 c 2 d 3 e; zrem z no
zrem z a; zpopmin z; zpopmax z 1; zmpop 1 z MIN; zmpop 2 none z MAX COUNT 9; zadd z 1 a 2 b 3 c 4 d; bzpopmin z 1; bzpopmax z 1
bzmpop 1 1 z MAX; zremrangebyscore z 0 100; zadd z 1 a 2 b 3 c; zremrangebyrank z 0 0; zremrangebylex z [a [b; zremrangebyscore z 5 6
zadd z 1 a 2 b; zadd y 1 a; zunionstore w 2 z y; zinterstore w 2 z y; zdiffstore w 2 z y; zdiffstore w 1 none; zrangestore w z 0 -1
zrangestore w none 0 -1; zunionstore z 1 y; del z y; set z 1; sinterstore z z; rpush z 1; sadd k 1; sunionstore z k; hset z f v; del z k
xadd x MAXLEN 2 1 f v; xadd x MAXLEN 2 2 f v; xadd x MAXLEN 2 3 f v; xadd x MINID 3 4 f v; xadd x MINID = 3 5 f v; xtrim x MAXLEN 1; xtrim x MAXLEN 1
xadd new NOMKSTREAM 1 f v; xadd x MAXLEN 0 6 f v; xadd x 7 f v; xadd x 7 f v; xdel x 9; xdel x 7; xsetid x 9; xadd x 10 f v; xadd x 11 f v
xgroup CREATE x g 0; xgroup CREATE new g $ MKSTREAM; xgroup SETID x g 0; xgroup CREATECONSUMER x g a; xgroup CREATECONSUMER x g a
xreadgroup GROUP g b COUNT 1 STREAMS x >; xreadgroup GROUP g b COUNT 1 STREAMS x >; xreadgroup GROUP g c STREAMS x new > >; xreadgroup GROUP g e STREAMS x 0
xclaim x g h 0 10; xclaim x g h 0 11; xautoclaim x g i 0 0; xautoclaim x g i 0 0; xack x g 10; xgroup DELCONSUMER x g h; xgroup DESTROY x g; del x new
geoadd p 1 1 a 2 2 b; geoadd p NX 1 1 a; geosearchstore d p FROMLONLAT 1 1 BYRADIUS 10 km; geosearchstore d p FROMLONLAT 50 50 BYRADIUS 1 km
georadius p 1 1 10 km STORE d; georadius p 1 1 10 km; georadiusbymember p a 9000 km STOREDIST d; georadius p 50 50 1 km STORE d; del p
eval "redis.call('set','a',1) redis.call('rpush','l',1,2) redis.call('lpop','l') redis.call('del','a','l') return 1" 0
multi; set a 1; lpush l 1; rpop l; get a; incr a; exec; multi; set a 2; discard; select 3; set a 1; expire a 100; select 0; flushdb; flushall
"""


def requests():
    for part in REQUESTS.replace("\n", ";").split(";"):
        words, quoted = [], part.strip().split('"')
        for number, piece in enumerate(quoted):
            words += [piece] if number % 2 else piece.split()
        if words:
            yield ["" if word == "{empty}" else word for word in words]


class Ear:
    """A connection that asks, and one that hears of it."""

    def __init__(self, address, classes):
        self.asks, self.hears = Connection(address), Connection(address)
        self.asks.ask("FLUSHALL")
        self.asks.ask("CONFIG", "SET", "notify-keyspace-events", classes)
        self.hears.send(encode(["PSUBSCRIBE", "__key*__:*", "end"]))
        self.hears.read_all(2)

    def close(self):
        self.asks.ask("CONFIG", "SET", "notify-keyspace-events", "")
        self.asks.close()
        self.hears.close()

    def heard(self):
        """All events up to now."""
        self.asks.ask("PUBLISH", "end", END)
        events = []
        while True:
            _, _, channel, message = self.hears.read().value.plain()
            if channel == b"end":
                return events
            events.append((channel, message))


@pytest.fixture
def ears(single, redis_server):
    opened = []

    def open_both(classes):
        opened.extend(Ear(address, classes) for address in (single.nodes[0].address, redis_server.address))
        return opened[-2:]

    yield open_both
    for ear in opened:
        ear.close()


class Both:
    """Asks both the same, and compares what they tell after each request that is executed at once."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs, self.queues, self.told = ours, theirs, False, 0

    def ask(self, words):
        for ear in (self.ours, self.theirs):
            ear.asks.call(*words)
        name = words[0].upper() if isinstance(words[0], str) else words[0].upper().decode(errors="replace")
        self.queues = (self.queues or name == "MULTI") and name not in ("EXEC", "DISCARD")
        if not self.queues:
            events = self.ours.heard()
            assert events == self.theirs.heard(), words
            self.told += len(events)


def test_each_command_is_told_as_redis_tells_it(ears):
    both = Both(*ears("AKEn"))
    for words in requests():
        both.ask(words)
    assert both.told > 400


def test_random_requests_are_told_as_redis_tells_them(ears):
    both = Both(*ears("AKEn"))
    for step in Generator(71).steps(500):
        for request in getattr(step, "requests", ()):
            if request.words[0].upper() not in (b"CONFIG", b"RANDOMKEY"):
                both.ask(request.words)
    assert both.told > 120


def test_classes_are_told_that_were_asked_for(ears):
    ours, theirs = ears("")
    asked = [["set", "a", "1"], ["rpush", "l", "1"], ["get", "none"], ["expire", "a", "9"], ["del", "a", "l"]]
    for letters in ("", "K", "E", "A", "KA", "Eg$", "Kl", "KEgl", "AKEmn", "nE", "mK", "g$lshzxetdmnKE", "KEd"):
        for ear in (ours, theirs):
            ear.asks.ask("CONFIG", "SET", "notify-keyspace-events", letters)
        shown = [ear.asks.ask("CONFIG", "GET", "notify-keyspace-events") for ear in (ours, theirs)]
        assert shown[0] == shown[1], letters
        for words in asked:
            assert ours.asks.call(*words).raw == theirs.asks.call(*words).raw
            assert ours.heard() == theirs.heard(), (letters, words)
    refused = [ear.asks.call("CONFIG", "SET", "notify-keyspace-events", "Kq").raw for ear in (ours, theirs)]
    assert refused[0] == refused[1]


def test_every_node_tells_its_own_subscribers_what_it_applies(cluster):
    """Also of what expires, and of writes through other nodes; a node that was not asked to tells nothing."""
    ears = [Ear(node.address, "AKE") for node in cluster.nodes[:2]]
    silent = cluster.nodes[2].connect()
    silent.send(encode(["PSUBSCRIBE", "__key*"]))
    silent.read()
    try:
        with cluster.nodes[2].connect() as writer:
            assert [ear.heard() for ear in ears] == [[], []]
            writer.ask("SET", "told", "1", "PX", "300")
            names = [b"set", b"expire", b"expired"]
            wanted = [
                event
                for name in names
                for event in ((b"__keyspace@0__:told", name), (b"__keyevent@0__:%s" % name, b"told"))
            ]
            for ear in ears:
                events = []
                wait_until("all is told", lambda ear=ear, events=events: events.extend(ear.heard()) or len(events) == 6)
                assert events == wanted
            assert silent.call("PING").value.plain() == [b"pong", b""]
    finally:
        silent.close()
        for ear in ears:
            ear.close()


def test_what_is_evicted_is_told(tmp_path):
    with Cluster(tmp_path, nodes=1, extra=["--maxmemory", "8MiB", "--maxmemory-policy", "allkeys-lru"]) as cluster:
        ear = Ear(cluster.nodes[0].address, "Ee")
        for number in range(200):
            ear.asks.ask("SET", f"k{number}", "x" * 65_536)
        events = ear.heard()
        assert len(events) > 20 and {channel for channel, _ in events} == {b"__keyevent@0__:evicted"}
        gone = {key for _, key in events}
        assert not any(ear.asks.ask("EXISTS", key) for key in gone)
        ear.close()


def test_what_expires_while_nothing_is_asked_is_told(single):
    ear = Ear(single.nodes[0].address, "Kx")
    ear.asks.ask("SET", "soon", "1", "PX", "50")
    time.sleep(0.5)
    assert ear.hears.read(5).value.plain()[2:] == [b"__keyspace@0__:soon", b"expired"]
    ear.close()
