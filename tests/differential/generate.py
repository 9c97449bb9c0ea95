"""Random requests from a seed: a small key space, so that commands meet each other's values.

Times to live are either long or already over: what falls due during a run is the business of the case
files. RANDOMKEY is compared by type, and MULTI is always closed, so that a run stays in step.
"""

import random

from .generate_streams import Streams
from .script import Pipeline, Request, Scan

_OTHER_KEYS = (b"", b"\x00\xff", b"a*b", b"[x]", b"key with space", b"\r\n")
_KEYS = tuple(b"k%d" % number for number in range(12)) + _OTHER_KEYS
_ODD_NUMBERS = (
    *(b"0", b"-1", b"1", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"a", b""),
    *(b" 1", b"1 ", b"+1", b"007", b"1.5", b"-0", b"1e3", b"99999999999999999999", b"4294967296"),
)
_VALUES = (b"", b"v", b"10", b"-7", b"3.25", b"abc", b"two words", b"\x00\x01\xff", b"9223372036854775807", b"1e2")
_ELEMENTS = (b"a", b"b", b"c", b"1", b"2", b"-1", b"", b"01")
_SCORES = (
    *(b"inf", b"-inf", b"0.1", b"1e17", b"3.0e-5", b"123456789012345678", b"0x1p-2", b"1e-310", b"1e400"),
    *(b"nan", b"", b" 1", b"x", b"1.5", b"-2.25", b"9007199254740993", b"1.00000762939453125"),
)
_FAR = 4_102_444_800
_OPTIONS = (b"NX", b"XX", b"GET", b"KEEPTTL", b"EX", b"PX", b"EXAT", b"PXAT", b"PERSIST", b"FOO", b"GT", b"LT")
_PATTERNS = (b"*", b"k*", b"k?", b"k[0-5]", b"k[^3]", b"*1", b"", b"a\\*b", b"\\[x]", b"?*", b"k1[0-1]", b"[a-z]*")


def _collected(request):
    """A look at the key behind a SET whose deadline has passed already: Redis stores the key and lets a timer or the
    next look at it remove it, so that DBSIZE counts it or not. Here it is never stored.
    """
    words = request.words
    if words[0].upper() == b"SET" and len(words) > 2 and b"PXAT" in words and b"4294967296" in words:
        yield Request((b"EXISTS", words[1]), request.connection)


def _rule(words):
    """How replies are compared that depend on chance, or on how a server keeps a value."""
    if words[0].upper() == b"RANDOMKEY":
        return "type"
    return "stream" if [word.upper() for word in words[:2]] == [b"XINFO", b"STREAM"] else None


class Generator(Streams):
    """An endless stream of steps; the same seed gives the same stream."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.choice = self.random.choice
        self.last_id = 1
        self.commands = (
            *((8, name) for name in ("set", "get", "counter", "number", "expire", "remaining")),
            *((4, name) for name in ("set_options", "float", "string", "range", "many", "remove", "getex", "look")),
            *((6, name) for name in ("bits", "fields", "sort", "copy", "counted")),
            *((12, name) for name in ("list_ends", "list_inside", "scores", "ranges", "several")),
            *((16, name) for name in ("entries", "groups")),
            *((2, name) for name in ("rename", "pattern", "broken", "cased", "database", "old")),
            *((1, name) for name in ("flush", "introspect", "scan_page", "random_key")),
        )
        self.names = [name for weight, name in self.commands for _ in range(weight)]

    def steps(self, count):
        """Steps with `count` requests or a few more, in pipelines of different length."""
        made = 0
        while made < count:
            kind = self.random.random()
            if kind < 0.03:
                yield Scan(self.scan_options())
                made += 1
                continue
            requests = self.transaction() if kind < 0.2 else [self.request() for _ in range(self.random.randint(1, 25))]
            requests = [asked for request in requests for asked in (request, *_collected(request))]
            made += len(requests)
            yield Pipeline(tuple(requests), requests[0].connection)

    def request(self, connection=1):
        words = getattr(self, "_" + self.choice(self.names))()
        return Request(tuple(words), connection, _rule(words))

    def transaction(self):
        """WATCH at times, MULTI, some requests, EXEC or DISCARD; at times the watched key is disturbed."""
        requests = []
        if self.random.random() < 0.5:
            watched = self.key()
            requests.append(Request((b"WATCH", watched, self.key())))
            if self.random.random() < 0.4:
                requests.append(Request((b"APPEND", watched, b"!")))
            if self.random.random() < 0.3:
                requests.append(self.request())
        requests.append(Request((b"MULTI",)))
        requests.extend(self.request() for _ in range(self.random.randint(0, 6)))
        if self.random.random() < 0.05:
            requests.append(Request((b"MULTI",)))
        requests.append(Request((self.choice((b"EXEC", b"EXEC", b"EXEC", b"exec", b"DISCARD")),)))
        return requests

    def key(self):
        return self.choice(_KEYS)

    def value(self):
        kind = self.random.random()
        if kind < 0.5:
            return self.choice(_VALUES)
        if kind < 0.8:
            return b"%d" % self.random.randint(-1000, 1000)
        if kind < 0.97:
            return self.random.randbytes(self.random.randint(0, 70))
        return b"x" * self.random.randint(100, 40_000)

    def integer(self):
        return b"%d" % self.random.randint(-50, 50) if self.random.random() < 0.8 else self.choice(_ODD_NUMBERS)

    def time(self, absolute, factor):
        """A time to live that is long, over, or no number."""
        kind = self.random.random()
        if kind < 0.1:
            # Not 1, which would fall due in the middle of a pipeline.
            return self.choice(tuple(number for number in _ODD_NUMBERS if number != b"1"))
        if kind < 0.25:
            return b"-%d" % self.random.randint(0, 100)
        # Any two are far apart, so that GT and LT compare the same on two clocks.
        far = self.random.randint(1, 1_000_000) * 10_000
        return b"%d" % ((far + (_FAR if absolute else 0)) * factor)

    def scan_options(self):
        options = []
        if self.random.random() < 0.6:
            options += [b"MATCH", self.choice(_PATTERNS)]
        if self.random.random() < 0.6:
            options += [b"COUNT", b"%d" % self.random.randint(1, 30)]
        if self.random.random() < 0.3:
            options += [b"TYPE", self.choice((b"string", b"list", b"STRING"))]
        return tuple(options)

    def list_key(self):
        """Mostly of keys that strings seldom overwrite, so that lists become long."""
        return self.choice(_KEYS) if self.random.random() < 0.1 else b"list:%d" % self.random.randint(0, 3)

    def element(self):
        return self.choice(_ELEMENTS) if self.random.random() < 0.7 else self.value()

    def end(self):
        return self.choice((b"LEFT", b"RIGHT", b"left", b"Right"))

    def _list_ends(self):
        key, other = self.list_key(), self.list_key()
        count = self.choice(([], [], [b"%d" % self.random.randint(0, 9)], [self.integer()]))
        elements = [self.element() for _ in range(self.random.randint(1, 12))]
        keys = [self.list_key() for _ in range(self.random.randint(1, 3))]
        return self.choice((
            [self.choice((b"LPUSH", b"RPUSH")), key, *elements],
            [self.choice((b"LPUSH", b"RPUSH", b"LPUSHX", b"RPUSHX")), key, *elements],
            [self.choice((b"LPOP", b"RPOP")), key, *count],
            [b"LMOVE", key, other, self.end(), self.end()],
            [b"RPOPLPUSH", key, other],
            [b"LMPOP", b"%d" % len(keys), *keys, self.end(), *([b"COUNT", *count] if count else [])],
            [b"LLEN", key],
        ))

    def _list_inside(self):
        key, element = self.list_key(), self.element()
        options = []
        for _ in range(self.random.randint(0, 3)):
            options += [self.choice((b"RANK", b"COUNT", b"MAXLEN")), self.integer()]
        return self.choice((
            [b"LRANGE", key, self.integer(), self.integer()],
            [b"LRANGE", key, b"0", b"-1"],
            [b"LINDEX", key, self.integer()],
            [b"LSET", key, self.integer(), element],
            [b"LINSERT", key, self.choice((b"BEFORE", b"AFTER", b"after")), element, self.element()],
            [b"LREM", key, self.integer(), element],
            [b"LTRIM", key, b"%d" % self.random.randint(0, 5), b"-%d" % self.random.randint(1, 5)],
            [b"LPOS", key, element, *options],
        ))

    def sorted_set_key(self):
        return self.choice(_KEYS) if self.random.random() < 0.1 else b"zset:%d" % self.random.randint(0, 2)

    def score(self):
        return self.choice(_SCORES) if self.random.random() < 0.3 else b"%d" % self.random.randint(-20, 20)

    def member(self):
        return self.element() if self.random.random() < 0.2 else b"m%d" % self.random.randint(0, 40)

    def _scores(self):
        key, member = self.sorted_set_key(), self.member()
        options = self.random.sample((b"NX", b"XX", b"GT", b"LT", b"CH", b"incr"), self.choice((0, 0, 0, 1, 2)))
        pairs = [word for _ in range(self.random.randint(1, 8)) for word in (self.score(), self.member())]
        count = self.choice(([], [b"%d" % self.random.randint(0, 4)], [self.integer()]))
        return self.choice((
            [b"ZADD", key, *pairs],
            [b"ZADD", key, *options, *pairs],
            [b"ZADD", key, *options, self.score(), member],
            [b"ZINCRBY", key, self.score(), member],
            [b"ZREM", key, member, self.member()],
            [b"ZSCORE", key, member],
            [b"ZMSCORE", key, member, self.member()],
            [self.choice((b"ZRANK", b"ZREVRANK")), key, member],
            [self.choice((b"ZPOPMIN", b"ZPOPMAX")), key, *count],
            [b"ZCARD", key],
        ))

    def score_end(self):
        return self.choice((b"-inf", b"+inf", b"(-inf", b"(inf", b"", b"x", self.score(), b"(" + self.score()))

    def name_end(self):
        return self.choice((b"-", b"+", b"[" + self.member(), b"(" + self.member(), b"x", b""))

    def _ranges(self):
        key = self.sorted_set_key()
        limit = self.choice(([], [b"LIMIT", self.integer(), self.integer()], [b"LIMIT", b"1", b"3"]))
        scores, rev = self.choice(([], [b"WITHSCORES"])), self.choice(([], [b"rev"]))
        ranks = [self.integer(), self.integer()]
        ends = [self.score_end(), self.score_end()]
        return self.choice((
            [b"ZRANGE", key, *ranks, *rev, *scores],
            [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
            [b"ZRANGE", key, *ends, b"BYSCORE", *rev, *limit, *scores],
            [b"ZRANGE", key, *ranks, *limit, *scores],
            [self.choice((b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE")), key, *ends, *scores, *limit],
            [b"ZREVRANGE", key, *ranks, *scores],
            [b"ZCOUNT", key, *ends],
            [b"ZREMRANGEBYSCORE", key, self.score(), self.score_end()],
            [b"ZREMRANGEBYRANK", key, b"%d" % self.random.randint(0, 9), self.integer()],
            self.name_ranges(),
        ))

    def _several(self):
        keys = [self.sorted_set_key() for _ in range(self.random.randint(1, 3))]
        count = b"%d" % self.choice((len(keys), len(keys), len(keys), 2))
        weights = self.choice(([], [b"WEIGHTS", *(self.score() for _ in keys)]))
        joined = self.choice(([], [b"AGGREGATE", self.choice((b"SUM", b"min", b"MAX"))]))
        scores, to = self.choice(([], [b"WITHSCORES"])), self.choice((b"zset:new", b"zset:2"))
        return self.choice((
            [self.choice((b"ZUNION", b"ZINTER")), count, *keys, *weights, *joined, *scores],
            [b"ZDIFF", count, *keys, *scores],
            [b"ZINTERCARD", count, *keys, *self.choice(([], [b"LIMIT", self.integer()]))],
            [self.choice((b"ZUNIONSTORE", b"ZINTERSTORE")), to, count, *keys, *weights, *joined],
            [b"ZDIFFSTORE", b"zset:new", count, *keys],
            [b"ZRANGESTORE", b"zset:new", keys[0], self.integer(), self.integer()],
            [b"ZRANGESTORE", b"zset:new", keys[0], self.score_end(), self.score_end(), b"BYSCORE"],
            [b"ZMPOP", count, *keys, self.choice((b"MIN", b"max")), *self.choice(([], [b"COUNT", self.integer()]))],
            [b"ZRANGE", b"zset:new", b"0", b"-1", b"WITHSCORES"],
        ))

    def name_ranges(self):
        """Ranges of names, of members that all have one score, since others have no order."""
        ends = [self.name_end(), self.name_end()]
        limit = self.choice(([], [b"LIMIT", self.integer(), self.integer()]))
        return self.choice((
            [b"ZADD", b"names", b"0", self.member(), b"0", self.member(), b"0", self.member()],
            [self.choice((b"ZRANGEBYLEX", b"ZREVRANGEBYLEX")), b"names", *ends, *limit],
            [b"ZRANGE", b"names", *ends, b"BYLEX", *limit],
            [b"ZLEXCOUNT", b"names", *ends],
            [b"ZREMRANGEBYLEX", b"names", *ends],
        ))

    def bit(self):
        return self.integer() if self.random.random() < 0.2 else b"%d" % self.random.randint(0, 400)

    def _bits(self):
        key, names = self.key(), [self.key() for _ in range(self.random.randint(1, 3))]
        ends = self.choice(([], [self.integer(), self.integer()], [self.integer(), self.integer(), self.choice((b"BIT", b"byte", b"x"))]))
        return self.choice((
            # A bit that is set already leaves the encoding as it is.
            [b"APPEND", key, self.random.randbytes(self.random.randint(1, 9))],
            [b"GETBIT", key, self.bit()],
            [b"BITCOUNT", key, *ends],
            [b"BITPOS", key, self.choice((b"0", b"1", b"0", b"1", b"2")), *ends],
            [b"BITPOS", key, b"0", self.integer()],
            [b"BITOP", self.choice((b"AND", b"or", b"XOR", b"NOT")), self.key(), *names],
            [b"BITOP", b"NOT", self.key(), names[0]],
        ))

    def _fields(self):
        words = []
        for _ in range(self.random.randint(1, 4)):
            width = b"%s%d" % (self.choice((b"i", b"u")), self.choice((1, 3, 8, 16, 31, 32, 63, 64, self.random.randint(1, 64))))
            offset = self.choice((b"", b"", b"#")) + b"%d" % self.random.randint(0, 40)
            words += self.choice((
                [b"GET", width, offset],
                [b"SET", width, offset, self.integer()],
                [b"INCRBY", width, offset, self.integer()],
                [b"OVERFLOW", self.choice((b"WRAP", b"SAT", b"FAIL", b"sat", b"x")), b"GET", width, offset],
            ))
        return [self.choice((b"BITFIELD", b"BITFIELD", b"BITFIELD_RO")), b"bits:%d" % self.random.randint(0, 2), *words]

    def _copy(self):
        key, other = self.any_key(), self.any_key()
        options = self.choice(([], [], [b"REPLACE"], [b"DB", self.choice((b"0", b"1", b"15", b"16", b"x"))], [b"replace", b"DB", b"1"]))
        return self.choice((
            [b"COPY", key, other, *options],
            [b"COPY", key, other, b"REPLACE"],
            [b"MOVE", key, self.choice((b"0", b"1", b"15", b"16", b"-1", b"x"))],
        ))

    def any_key(self):
        return self.choice((self.key, self.list_key, self.sorted_set_key))()

    def _sort(self):
        """By texts: what Redis 7.0 says of numbers depends on what an earlier command could not read as one. With BY
        and LIMIT elements of equal weight come in any order, so each weight is another one then. SORT of a sorted set
        changes its encoding in Redis, for good and even with SORT_RO: so it reads one of its own, whose encoding nobody
        asks for and which is copied nowhere.
        """
        number = b"%d" % self.random.randint(0, 2)
        key = b"sort:" + number
        limit = self.choice(([], [b"LIMIT", b"%d" % self.random.randint(-1, 4), b"%d" % self.random.randint(-1, 6)]))
        order = self.choice(([], [b"ASC"], [b"desc"], [b"DESC"]))
        gets = [word for _ in range(self.choice((0, 0, 1, 2))) for word in (b"GET", self.choice((b"#", b"w:*", b"w:*->f", b"x", b"*")))]
        by = self.choice(([b"ALPHA"], [b"ALPHA"], [b"BY", b"nosort"], [b"ALPHA", b"BY", b"w:*"], [b"ALPHA", b"BY", b"w:*->f"]))
        if b"*" in by[-1]:
            limit = []
        store = self.choice(([], [], [b"STORE", b"list:sorted"]))
        weight = b"w:%d" % self.random.randint(0, 9)
        return self.choice((
            [b"SORT", key, *by, *order, *limit, *gets, *store],
            [b"SORT", key, *by, *order, *limit, *gets, *store],
            [b"SORT_RO", key, *by, *order, *limit, *gets],
            [b"SORT_RO", b"sort:scores", b"BY", b"nosort", *order, *limit],
            [b"ZUNIONSTORE", b"sort:scores", b"1", b"zset:" + number],
            [b"RPUSH", b"sort:" + number, *(b"%d" % self.random.randint(0, 9) for _ in range(3))],
            self.choice(([b"DEL", b"sort:" + number], [b"COPY", b"list:sorted", b"sort:copy"], [b"TYPE", b"list:sorted"])),
            [b"SET", weight, self.choice((b"a", b"b", b"10", b"9", b""))],
            self.choice(([b"DEL", weight], [b"HSET", weight, b"f", b"%d" % self.random.randint(0, 9)])),
            [b"LRANGE", b"list:sorted", b"0", b"-1"],
        ))

    def _counted(self):
        """Sketches, and the bytes of them."""
        key, other = b"hll:%d" % self.random.randint(0, 3), b"hll:%d" % self.random.randint(0, 3)
        elements = [b"%d" % self.random.randint(0, 100_000) for _ in range(self.choice((0, 1, 1, 3, 10, 60)))]
        return self.choice((
            [b"PFADD", key, *elements],
            [b"PFADD", key, *elements],
            [b"PFADD", key, self.element()],
            [b"PFCOUNT", key],
            [b"PFCOUNT", key, other, self.key()],
            [b"PFMERGE", key, other],
            [b"GET", key],
            self.choice(([b"DEL", key], [b"COPY", key, other, b"REPLACE"], [b"GET", key])),
        ))

    def places(self, count):
        """As `steps`, of places alone."""
        while count > 0:
            yield Pipeline(tuple(Request(tuple(self._places())) for _ in range(25)))
            count -= 25

    def place(self):
        if self.random.random() < 0.05:
            return [self.score(), self.score()]
        return [b"%.6f" % self.random.uniform(-180, 180), b"%.6f" % self.random.uniform(-85, 85)]

    def length(self):
        return self.integer() if self.random.random() < 0.05 else b"%.3f" % (10 ** self.random.uniform(-1, 4.4))

    def _places(self):
        """No two members are as far from anything, so that there is one order. The last digit of a stored distance
        depends on the C library; only who is stored is compared.
        """
        key, unit = b"places:%d" % self.random.randint(0, 1), self.choice((b"km", b"KM", b"km", b"mi", b"m", b"ft", b"x"))
        center = self.choice(([b"FROMLONLAT", *self.place()], [b"FROMMEMBER", self.member()]))
        extent = self.choice(([b"BYRADIUS", self.length(), unit], [b"BYBOX", self.length(), self.length(), unit]))
        order = self.choice(([], [b"ASC"], [b"desc"]))
        count = self.choice(([], [], [b"COUNT", self.integer()], [b"COUNT", b"%d" % self.random.randint(1, 9), b"ANY"]))
        told = self.random.sample((b"WITHDIST", b"WITHHASH", b"WITHCOORD"), self.choice((0, 0, 1, 2, 3)))
        near = self.choice(([b"GEORADIUS", key, *self.place()], [b"GEORADIUSBYMEMBER", key, self.member()]))
        placed = [word for _ in range(self.random.randint(1, 8)) for word in (*self.place(), self.member())]
        stored = self.choice(([b"STORE", b"places:new"], [b"STOREDIST", b"places:far"]))
        return self.choice((
            [b"GEOADD", key, *placed],
            [b"GEOADD", key, *self.choice(([], [b"NX"], [b"XX", b"ch"], [b"CH"])), *placed],
            [b"GEOSEARCH", key, *center, *extent, *order, *count, *told],
            [b"GEOSEARCH", key, *center, *extent, *order, *count, *told],
            [b"GEOSEARCHSTORE", b"places:new", key, *center, *extent, *count],
            [b"GEOSEARCHSTORE", b"places:far", key, *center, *extent, *count, b"STOREDIST"],
            [*near, self.length(), unit, *told, *order, *count],
            [near[0] + b"_RO", *near[1:], self.length(), unit, *order, *count, *told],
            [*near, self.length(), unit, *count, *stored],
            [b"GEODIST", key, self.member(), self.member(), *self.choice(([], [unit]))],
            [self.choice((b"GEOPOS", b"GEOHASH")), key, self.member(), self.member()],
            [b"ZRANGE", b"places:new", b"0", b"-1", b"WITHSCORES"],
            [b"ZRANGE", b"places:far", b"0", b"-1"],
        ))

    def _set(self):
        return [b"SET", self.key(), self.value()]

    def _get(self):
        return [self.choice((b"GET", b"GET", b"GET", b"STRLEN", b"EXISTS", b"TYPE")), self.key()]

    def _timed_option(self):
        name, absolute, factor = self.choice(((b"EX", 0, 1), (b"PX", 0, 1000), (b"EXAT", 1, 1), (b"PXAT", 1, 1000)))
        return [name, self.time(absolute, factor)]

    def _set_options(self):
        words = [b"SET", self.key(), self.value()]
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < 0.5:
                words += self._timed_option()
            else:
                words.append(self.choice(_OPTIONS))
        return words

    def _counter(self):
        return [self.choice((b"INCR", b"DECR")), self.key()]

    def _number(self):
        return [self.choice((b"INCRBY", b"DECRBY")), self.key(), self.integer()]

    def _float(self):
        kind = self.random.random()
        if kind < 0.2:
            increment = self.choice(_ODD_NUMBERS)
        elif kind < 0.3:
            increment = b"%de%d" % (self.random.randint(-99, 99), self.random.randint(-20, 20))
        else:
            increment = b"%.*f" % (self.random.randint(0, 10), self.random.uniform(-1000, 1000))
        return [b"INCRBYFLOAT", self.key(), increment]

    def _expire(self):
        name, absolute, factor = self.choice(
            ((b"EXPIRE", 0, 1), (b"PEXPIRE", 0, 1000), (b"EXPIREAT", 1, 1), (b"PEXPIREAT", 1, 1000))
        )
        words = [name, self.key(), self.time(absolute, factor)]
        if self.random.random() < 0.4:
            words.append(self.choice((b"NX", b"XX", b"GT", b"LT", b"FOO", b"nx")))
        if self.random.random() < 0.1:
            words.append(self.choice((b"NX", b"XX", b"GT", b"LT")))
        return words

    def _remaining(self):
        return [self.choice((b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"PERSIST")), self.key()]

    def _getex(self):
        words = [b"GETEX", self.key()]
        kind = self.random.random()
        if kind < 0.5:
            words += self._timed_option()
        elif kind < 0.8:
            words.append(self.choice((b"PERSIST", b"FOO", b"KEEPTTL")))
        return words

    def _string(self):
        name = self.choice((b"APPEND", b"GETSET", b"SETNX", b"GETDEL"))
        return [name, self.key()] if name == b"GETDEL" else [name, self.key(), self.value()]

    def _range(self):
        if self.random.random() < 0.5:
            return [self.choice((b"GETRANGE", b"SUBSTR")), self.key(), self.integer(), self.integer()]
        # Within reach, so that no value of half a gigabyte comes about.
        offset = self.choice((b"0", b"3", b"50", b"-1", b"a", b"536870912", b"9223372036854775807"))
        return [b"SETRANGE", self.key(), offset, self.value()]

    def _many(self):
        keys = [self.key() for _ in range(self.random.randint(1, 5))]
        name = self.choice((b"MGET", b"MSET", b"MSETNX"))
        if name == b"MGET":
            return [name, *keys]
        words = [name]
        for key in keys:
            words += [key, self.value()]
        return words if self.random.random() < 0.9 else words[:-1]

    def _remove(self):
        keys = [self.key() for _ in range(self.random.randint(1, 3))]
        return [self.choice((b"DEL", b"UNLINK", b"EXISTS", b"TOUCH")), *keys]

    def _rename(self):
        return [self.choice((b"RENAME", b"RENAMENX")), self.key(), self.key()]

    def _pattern(self):
        return [b"KEYS", self.choice(_PATTERNS)]

    def _look(self):
        return [b"OBJECT", self.choice((b"ENCODING", b"FREQ")), self.key()]

    def _broken(self):
        """A request with an argument too few, too many, or in the wrong place."""
        words = getattr(self, "_" + self.choice(("set", "number", "expire", "range", "getex", "rename")))()
        kind = self.random.random()
        if kind < 0.4:
            return words[:-1]
        if kind < 0.8:
            return [*words, self.value()]
        self.random.shuffle(words)
        # A value may have become the name of the command: only those that are no command of either side.
        return words if words[0].lower() not in (b"get", b"object") else [b"GET"]

    def _cased(self):
        words = self._set_options() if self.random.random() < 0.5 else self._get()
        swapped = bytes(byte ^ 0x20 if chr(byte).isalpha() and self.random.random() < 0.5 else byte for byte in words[0])
        return [swapped, *words[1:]]

    def _database(self):
        return [b"SELECT", self.choice((b"0", b"0", b"0", b"1", b"15", b"16", b"a"))]

    def _old(self):
        name = self.choice((b"SETEX", b"PSETEX"))
        return [name, self.key(), self.time(False, 1 if name == b"SETEX" else 1000), self.value()]

    def _flush(self):
        return [self.choice((b"FLUSHDB", b"FLUSHALL"))] if self.random.random() < 0.1 else [b"DBSIZE"]

    def _introspect(self):
        return self.choice(([b"PING"], [b"ECHO", self.value()], [b"COMMAND", b"GETKEYS", b"GET", self.key()], [b"FOO"]))

    def _scan_page(self):
        return [b"SCAN", self.choice((b"0", b"a", b"-1")), *self.scan_options()]

    def _random_key(self):
        return [b"RANDOMKEY"]
