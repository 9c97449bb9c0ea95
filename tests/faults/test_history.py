"""The judge of histories must reject histories that are wrong."""

import pytest

from .history import Read, Write, lost, violations


def written():
    return [
        Write(b"k", 1, 0.0, 1.0, "acknowledged"),
        Write(b"k", 2, 2.0, 3.0, "refused"),
        Write(b"k", 3, 4.0, 5.0, "unknown"),
        Write(b"k", 4, 6.0, 7.0, "acknowledged"),
    ]


@pytest.mark.parametrize(
    "read",
    [
        Read(b"k", 0, 0.5, 0.9, "n1"),
        Read(b"k", 1, 0.5, 0.9, "n1"),
        Read(b"k", 1, 1.5, 9.0, "n1"),
        Read(b"k", 3, 4.5, 4.6, "n1"),
        Read(b"k", 3, 5.5, 5.6, "n1"),
        Read(b"k", 4, 8.0, 9.0, "n1"),
    ],
)
def test_right_histories_are_accepted(read):
    assert violations(written(), [read]) == []


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (Read(b"k", 0, 1.5, 1.6, "n1"), "stale"),
        (Read(b"k", 3, 7.5, 9.0, "n1"), "stale"),
        (Read(b"k", 2, 3.5, 3.6, "n1"), "refused"),
        (Read(b"k", 4, 4.0, 5.0, "n1"), "future"),
        (Read(b"k", 9, 4.0, 5.0, "n1"), "invented"),
        (Read(b"other", 1, 4.0, 5.0, "n1"), "invented"),
    ],
)
def test_wrong_histories_are_rejected(read, word):
    assert any(word in text for text in violations(written(), [read]))


def test_a_read_may_not_go_back_behind_another_read():
    reads = [Read(b"k", 3, 4.5, 4.6, "n1"), Read(b"k", 1, 4.7, 4.8, "n2")]
    assert any("stale" in text for text in violations(written(), reads))


def test_lost_writes_are_found():
    assert [write.value for write in lost(written(), {b"k": 3})] == [4]
    assert lost(written(), {b"k": 4}) == []
    assert len(lost(written(), {})) == 2
