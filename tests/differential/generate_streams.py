"""Random requests for streams. Ids are given, and times where a request can give one; idle times of the rest depend
on the clock, so they are compared as being near each other.
"""

_GROUPS = (b"g", b"h")
_CONSUMERS = (b"ann", b"bob", b"eve")
_ODD_IDS = (
    *(b"0", b"0-0", b"0-1", b"x", b"", b"5-", b"-", b"+", b"(3", b"(", b"3-*", b"007", b"1-2-3", b"$"),
    *(b"18446744073709551615", b"18446744073709551615-18446744073709551615", b"18446744073709551616"),
)


class Streams:
    """What a generator needs to ask for streams; it has `random`, `choice`, `integer`, `value` and `key`."""

    def stream(self):
        return self.choice(self.streams_and_strings)

    @property
    def streams_and_strings(self):
        return (b"stream:0", b"stream:0", b"stream:0", b"stream:1", b"stream:1", b"stream:2", self.key())

    def new_id(self):
        """Mostly above those that were made before, so that streams grow."""
        kind = self.random.random()
        if kind < 0.1:
            return self.choice(_ODD_IDS)
        if kind < 0.25:
            return self.known_id()
        self.last_id += self.choice((0, 0, 1, 1, 2, 300))
        return b"%d-%s" % (self.last_id, self.choice((b"*", b"*", b"%d" % self.random.randint(0, 5))))

    def known_id(self):
        """Of an entry that may be there."""
        if self.random.random() < 0.05:
            return self.choice(_ODD_IDS)
        number = max(1, self.last_id - self.random.randint(0, 12))
        return b"%d" % number if self.random.random() < 0.3 else b"%d-%d" % (number, self.random.randint(0, 3))

    def id_end(self):
        return self.choice((b"-", b"+", self.known_id(), self.known_id(), b"(" + self.known_id()))

    def trimming(self):
        """Exact, since `~` cuts at ends of nodes, whose size is a constant here."""
        return self.choice((
            [b"MAXLEN", b"%d" % self.random.randint(0, 30)],
            [b"MAXLEN", b"=", b"%d" % self.random.randint(3, 60)],
            [b"maxlen", self.integer()],
            [b"MINID", self.known_id()],
            [b"MINID", b"=", self.known_id()],
            [b"MAXLEN", b"5", b"LIMIT", b"3"],
        ))

    def count(self):
        return self.choice(([], [], [b"COUNT", b"%d" % self.random.randint(1, 9)], [b"COUNT", self.integer()]))

    def _entries(self):
        key = self.stream()
        fields = [self.choice((b"f", b"f", b"g", b"h", b"temperature")), self.value()] * self.choice((1, 1, 1, 2, 5))
        ids = [self.known_id() for _ in range(self.random.randint(1, 4))]
        options = self.choice(([], [], [], [], [b"NOMKSTREAM"], self.trimming()))
        return self.choice((
            *([[b"XADD", key, *options, self.new_id(), *fields]] * 6),
            [b"XADD", key, self.new_id(), *fields[:-1]],
            [self.choice((b"XRANGE", b"XREVRANGE")), key, self.id_end(), self.id_end(), *self.count()],
            [b"XRANGE", key, b"-", b"+"],
            [b"XREVRANGE", key, b"+", b"-", *self.count()],
            [b"XLEN", key],
            [b"XDEL", key, *ids],
            [b"XTRIM", key, *self.trimming()],
            [b"XSETID", key, self.new_id(), *self.choice(([], [], [b"ENTRIESADDED", self.integer(), b"MAXDELETEDID", self.known_id()]))],
            [b"XREAD", *self.count(), b"STREAMS", key, self.read_id()],
            [b"XREAD", *self.count(), b"STREAMS", key, self.stream(), self.read_id(), self.read_id()],
            [b"XINFO", b"STREAM", key],
            [b"COPY", key, self.choice((b"stream:1", b"stream:2")), *self.choice(([], [b"REPLACE"]))],
            self.choice(([b"DEL", b"stream:2"], [b"TYPE", key], [b"OBJECT", b"ENCODING", key])),
        ))

    def read_id(self):
        """An id for XREAD: Redis has `+` there from 7.4 on, and 7.0 refuses it."""
        chosen = self.known_id()
        return b"0" if chosen == b"+" else chosen

    def _groups(self):
        key, group, consumer = self.stream(), self.choice(_GROUPS), self.choice(_CONSUMERS)
        ids = [self.known_id() for _ in range(self.random.randint(1, 4))]
        start = self.choice((b"0", b"$", self.known_id()))
        read = self.choice(([], [b"ENTRIESREAD", self.integer()]))
        given = self.choice(([], [b"IDLE", b"50000"], [b"TIME", b"1700000000000"], [b"RETRYCOUNT", b"%d" % self.random.randint(0, 5)]))
        options = [*given, *self.choice(([], [], [b"FORCE"])), *self.choice(([], [], [b"JUSTID"], [b"LASTID", self.known_id()]))]
        from_group = [b"XREADGROUP", b"GROUP", group, consumer, *self.count(), *self.choice(([], [], [], [b"NOACK"]))]
        # An entry is idle for no less than 0 and no more than a day, whatever the clock says.
        idle = self.choice((b"0", b"0", b"0", b"86400000", self.choice((b"-1", b"x"))))
        return self.choice((
            [b"XGROUP", b"CREATE", key, group, start, *self.choice(([], [b"MKSTREAM"], read))],
            [b"XGROUP", b"SETID", key, group, start, *read],
            [b"XGROUP", self.choice((b"CREATECONSUMER", b"CREATECONSUMER", b"DELCONSUMER")), key, group, consumer],
            [b"XGROUP", b"DESTROY", key, group] if self.random.random() < 0.2 else [b"XPENDING", key, group],
            *([[*from_group, b"STREAMS", key, b">"]] * 4),
            [*from_group, b"STREAMS", key, self.known_id()],
            [*from_group, b"STREAMS", key, b"stream:1", self.choice((b">", b"0")), b">"],
            [b"XACK", key, group, *ids],
            [b"XPENDING", key, group],
            [b"XPENDING", key, group, self.id_end(), self.id_end(), self.integer(), *self.choice(([], [consumer]))],
            [b"XPENDING", key, group, b"IDLE", idle, b"-", b"+", b"10", *self.choice(([], [consumer]))],
            [b"XCLAIM", key, group, consumer, idle, *ids, *options],
            [b"XCLAIM", key, group, consumer, idle, *ids, *options],
            [b"XAUTOCLAIM", key, group, consumer, idle, self.id_end(), *self.count(), *self.choice(([], [b"JUSTID"]))],
            [b"XINFO", b"GROUPS", key],
            [b"XINFO", b"CONSUMERS", key, group],
        ))
