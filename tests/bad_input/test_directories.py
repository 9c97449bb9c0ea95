"""Data directories that are damaged, foreign, wiped, newer, or of a machine that stopped: never believed."""

import shutil

import pytest

from faults.reading import assert_held_by_all
from support.nodes import Cluster, binary
from support.processes import run_tool
from support.resp import encode
from support.waiting import wait_until

from .directories import contents, flip_in_the_middle, last_segment, log_end, overwrite, records_end, refused

KEYS = 300


def fill(node, label="k"):
    """Writes some keys; returns what was acknowledged."""
    values = {b"%s:%d" % (label.encode(), number): b"value %d" % number * 10 for number in range(KEYS)}
    with node.connect() as connection:
        connection.send(b"".join(encode(("SET", key, value)) for key, value in values.items()))
        assert all(reply.raw == b"+OK\r\n" for reply in connection.read_all(len(values)))
    return values


def serves(node):
    """True once it answers linearizable reads."""
    with node.connect(2) as connection:
        return connection.call("GET", "nothing").value.kind in "$_"


@pytest.fixture
def single_node(tmp_path):
    with Cluster(tmp_path, nodes=1) as cluster:
        yield cluster


@pytest.fixture
def three(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_a_changed_byte_in_the_log_is_refused_and_nothing_touched(single_node):
    node = single_node.nodes[0]
    values = fill(node)
    node.kill()
    segment = last_segment(node.data_dir)
    sound = segment.read_bytes()
    offset = flip_in_the_middle(segment)
    before = contents(node.data_dir)
    for _ in range(2):
        said = refused(node.argv)
        assert str(segment) in said and "damaged at offset" in said and "new member" in said, said
        named = int(said.split("damaged at offset ")[1].split(":")[0])
        assert 4096 <= named <= offset, (named, offset)
        assert contents(node.data_dir) == before
    # The remedy works: the file from a copy.
    segment.write_bytes(sound)
    node.start(single_node.directory / "again.log")
    wait_until("it serves", lambda: serves(node))
    assert_held_by_all(single_node, values)


def comes_back(three, node, why, **variables):
    """It says why it may not use its directory, and serves again as a new member; what was there is kept."""
    values = fill(three.leader(), "later")
    node.start(three.directory / "again.log", **variables)
    wait_until("it serves", lambda: serves(node), 60)
    said = node.started.tail(50)
    assert why in said and "admitted to the cluster as a new member" in said, said
    return values


def test_a_changed_byte_in_a_follower_makes_it_a_new_member(three):
    follower = three.followers()[0]
    values = fill(follower)
    follower.kill()
    flip_in_the_middle(last_segment(follower.data_dir))
    values |= comes_back(three, follower, "damaged at offset")
    assert (follower.data_dir / "set-aside-1/meta").exists()
    assert_held_by_all(three, values)


def test_a_torn_tail_is_cut_and_caught_up(three):
    follower = three.followers()[0]
    values = fill(follower)
    follower.kill()
    segment = last_segment(follower.data_dir)
    # Of a record that was being written, the first bytes are there. What was acknowledged was written whole.
    overwrite(segment, records_end(segment), b"\x40\1\2\3\4\5\6\7")
    follower.start(three.directory / "again.log")
    wait_until("it serves", lambda: serves(follower), 20)
    assert_held_by_all(three, values)


@pytest.mark.parametrize("name", ["meta", "wal"])
def test_a_newer_format_is_refused(single_node, name):
    node = single_node.nodes[0]
    values = fill(node)
    node.kill()
    file = node.data_dir / "meta" if name == "meta" else last_segment(node.data_dir)
    own = file.read_bytes()[8]
    overwrite(file, 8, bytes([own + 1]))
    before = contents(node.data_dir)
    said = refused(node.argv)
    assert str(file) in said and f"format {own + 1}" in said and "release" in said, said
    assert contents(node.data_dir) == before
    overwrite(file, 8, bytes([own]))
    node.start(single_node.directory / "again.log")
    wait_until("it serves", lambda: serves(node))
    assert_held_by_all(single_node, values)


def test_the_directory_of_another_node_is_refused(three, tmp_path):
    fill(three.leader())
    node = three.nodes[0]
    node.kill()
    before = contents(node.data_dir)
    alone = [binary(), "serve", "--listen", node.address, "--admin-listen", node.admin, "--data-dir", node.data_dir]
    said = refused(alone)
    assert "belongs to node n1 of the cluster of n1, n2, n3" in said and "--data-dir" in said, said
    other = [word.replace(str(node.data_dir), str(three.nodes[1].data_dir)) for word in node.argv]
    three.nodes[1].kill()
    assert "belongs to node n2" in refused(other)
    assert contents(node.data_dir) == before


def test_a_directory_of_another_cluster_is_refused(three, tmp_path):
    values = fill(three.leader())
    with Cluster(tmp_path / "second") as second:
        fill(second.leader(), "second")
        stranger = second.nodes[0]
        stranger.kill()
        saved = tmp_path / "saved"
        # Moved, since a copy would be told from its original.
        stranger.data_dir.rename(saved)
    node = three.nodes[0]
    node.kill()
    own = tmp_path / "own"
    node.data_dir.rename(own)
    saved.rename(node.data_dir)
    # Nobody can tell which side is wrong, so it goes on asking, joins nothing and says so.
    node.start(tmp_path / "foreign.log")
    wait_until("it says why", lambda: "one of the data directories is the wrong one" in node.started.tail(), 20)
    with node.connect(20) as connection:
        assert connection.call("SET", "foreign", "1").raw.startswith((b"-NOLEADER", b"-LOADING"))
    assert "repligo ready" not in node.started.tail()
    node.kill()
    # A single file of another cluster is refused at once.
    node.data_dir.rename(saved)
    own.rename(node.data_dir)
    segment = last_segment(node.data_dir)
    sound = segment.read_bytes()
    segment.write_bytes(last_segment(saved).read_bytes())
    before = contents(node.data_dir)
    said = refused(node.argv)
    assert "belongs to cluster" in said and "copy" in said, said
    assert contents(node.data_dir) == before
    segment.write_bytes(sound)
    node.start(tmp_path / "again.log")
    wait_until("it serves", lambda: serves(node), 20)
    assert_held_by_all(three, values)


def test_a_directory_that_is_not_ours_is_refused(tmp_path):
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    said = refused([binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", directory])
    assert "not a Repligo data directory" in said and "thesis.txt" in said and "--data-dir" in said, said
    assert [path.name for path in directory.iterdir()] == ["thesis.txt"]


def test_a_directory_in_use_is_refused(single_node):
    node = single_node.nodes[0]
    second = [word.replace(node.address, "127.0.0.1:0").replace(node.admin, "127.0.0.1:0") for word in node.argv]
    said = refused(second)
    assert "in use by process" in said and str(node.pid) in said, said
    assert serves(node)


def test_a_wiped_node_makes_no_majority_and_comes_back_when_there_is_one(three):
    values = fill(three.leader())
    node = three.followers()[0]
    node.kill()
    shutil.rmtree(node.data_dir)
    lone = three.leader()
    last = next(other for other in three.followers(lone) if other is not node)
    last.kill()
    node.start(three.directory / "wiped.log")
    wait_until("it asks", lambda: "waiting to be admitted" in node.started.tail(50), 30)
    with lone.connect(20) as connection:
        # It may have been proposed before the leader noticed that it is alone.
        assert connection.call("SET", "k", "v").raw.startswith((b"-NOLEADER", b"-UNKNOWN"))
        assert connection.call("GET", "k").raw.startswith(b"-NOLEADER")
    last.start(three.directory / "again.log")
    wait_until("a majority serves again", lambda: serves(lone), 20)
    wait_until("the wiped node serves", lambda: serves(node), 60)
    assert_held_by_all(three, values)


def test_after_an_unclean_stop_of_the_machine_a_node_in_os_mode_is_a_new_member(three):
    values = fill(three.leader())
    node = three.followers()[0]
    node.kill()
    values |= comes_back(three, node, "the machine stopped", REPLIGO_TEST_BOOT_ID="another boot")
    assert_held_by_all(three, values)


def test_after_a_clean_stop_another_boot_is_no_matter(three):
    values = fill(three.leader())
    node = three.followers()[0]
    node.kill()
    node.start(three.directory / "first.log")
    wait_until("it serves", lambda: serves(node), 20)
    assert node.started.stop() == 0
    node.start(three.directory / "second.log", REPLIGO_TEST_BOOT_ID="another boot")
    wait_until("it serves", lambda: serves(node), 20)
    assert_held_by_all(three, values)


@pytest.fixture
def small_file_system(tmp_path):
    """32 MiB of their own."""
    place = tmp_path / "small"
    place.mkdir()
    try:
        code, _, errors = run_tool(["mount", "-t", "tmpfs", "-o", "size=32m", "repligo-test", place])
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if code != 0:
        pytest.skip(f"mounting is not permitted here: {errors.decode().strip()}")
    yield place
    code, _, errors = run_tool(["umount", "--lazy", place])
    assert code == 0, errors


def test_a_full_disk_refuses_writes_and_loses_nothing(small_file_system):
    filler = small_file_system / "filler"
    filler.write_bytes(b"x" * (20 << 20))
    with Cluster(small_file_system / "c", nodes=1) as cluster:
        node = cluster.nodes[0]
        acknowledged, refused = {}, []
        with node.connect() as connection:
            # 30 MB into 12: most of it is refused.
            for number in range(3000):
                key, value = b"k:%d" % number, b"%d:" % number + b"x" * 10_000
                reply = connection.call("SET", key, value)
                if reply.raw == b"+OK\r\n":
                    acknowledged[key] = value
                else:
                    refused.append(reply.raw)
            assert len(acknowledged) > 100 and len(refused) > 100
            assert all(b"disk" in text for text in refused), refused[0]
            # Reads go on, and so does the process.
            key = next(iter(acknowledged))
            assert connection.ask("GET", key) == acknowledged[key]
            assert node.pid is not None
            filler.unlink()
            wait_until("it takes writes again", lambda: connection.call("SET", "again", "1").raw == b"+OK\r\n", 20)
        assert_held_by_all(cluster, acknowledged)
