//! Who hears what, and what nodes tell each other.

use super::*;

/// Sessions by slot.
#[derive(Default)]
struct Hall {
    sessions: BTreeMap<u32, Session>,
    pool: BufferPool,
}

impl Sessions for Hall {
    fn reach(&mut self, slot: u32) -> Option<(&mut Session, &mut BufferPool)> {
        Some((self.sessions.get_mut(&slot)?, &mut self.pool))
    }
}

impl Hall {
    fn of(slots: u32, resp3: bool) -> Self {
        let mut hall = Self::default();
        for slot in 0..slots {
            let mut session = Session::new(u64::from(slot), slot, 0, 1 << 20);
            session.speak(resp3);
            hall.sessions.insert(slot, session);
        }
        hall
    }

    fn listen(&mut self, all: &mut Subscriptions, slot: u32, (kind, name): (Kind, &str)) {
        let session = self.sessions.get_mut(&slot).expect("it is there");
        session.listen(all, kind, name.as_bytes());
    }

    /// What a session is to be sent, all of it.
    fn take(&mut self, slot: u32) -> String {
        let session = self.sessions.get_mut(&slot).expect("it is there");
        let mut taken = Vec::new();
        while !session.replies.sendable().is_empty() {
            let sendable = session.replies.sendable().to_vec();
            session.replies.consume(sendable.len(), &mut self.pool);
            taken.extend(sendable);
        }
        String::from_utf8(taken).expect("it is text").replace("\r\n", " ")
    }
}

/// Two nodes, one link: what the first one says reaches the second.
fn tell(from: &mut Subscriptions, to: &mut Subscriptions) {
    for frame in from.take_changes() {
        to.hear(1, &frame).expect("a node says it");
    }
    for frame in from.take_frames() {
        to.receive(&frame).expect("a node says it");
    }
}

#[test]
fn a_message_reaches_listeners_once_for_each_name_that_fits() {
    let (mut all, mut hall) = (Subscriptions::default(), Hall::of(3, false));
    hall.listen(&mut all, 0, (Kind::Channel, "news"));
    hall.listen(&mut all, 0, (Kind::Pattern, "n*"));
    hall.listen(&mut all, 1, (Kind::Pattern, "*s"));
    hall.listen(&mut all, 2, (Kind::Shard, "news"));
    assert_eq!(all.publish(false, b"news", b"hi"), (3, 0));
    assert_eq!(all.publish(true, b"news", b"so"), (1, 0));
    assert_eq!(all.publish(false, b"nothing", b"x"), (1, 0));
    all.deliver(&mut hall, usize::MAX);
    assert_eq!(
        hall.take(0),
        "*3 $7 message $4 news $2 hi *4 $8 pmessage $2 n* $4 news $2 hi \
         *4 $8 pmessage $2 n* $7 nothing $1 x "
    );
    assert_eq!(hall.take(1), "*4 $8 pmessage $2 *s $4 news $2 hi ");
    assert_eq!(hall.take(2), "*3 $8 smessage $4 news $2 so ");
    assert!(!all.has_posts_left());
}

impl Subscriptions {
    fn has_posts_left(&self) -> bool {
        !self.posts.is_empty()
    }
}

#[test]
fn a_long_message_is_shared_by_its_receivers_and_keeps_its_place() {
    let (mut all, mut hall) = (Subscriptions::default(), Hall::of(2, true));
    for slot in 0..2 {
        hall.listen(&mut all, slot, (Kind::Channel, "c"));
    }
    let long = vec![b'x'; 100_000];
    for message in [&b"1"[..], &long, b"2", &long, &long, b"3"] {
        all.publish(false, b"c", message);
    }
    all.deliver(&mut hall, usize::MAX);
    let short = |text: &str| format!(">3 $7 message $1 c $1 {text} ");
    let shown = format!(">3 $7 message $1 c $100000 {} ", "x".repeat(100_000));
    let expected = [
        short("1"),
        shown.clone(),
        short("2"),
        shown.clone(),
        shown,
        short("3"),
    ]
    .concat();
    let mut addresses = Vec::new();
    for slot in 0..2 {
        let replies = &mut hall.sessions.get_mut(&slot).expect("it is there").replies;
        replies.consume(replies.sendable().len(), &mut hall.pool);
        addresses.push(replies.sendable().as_ptr());
        let rest = &expected[short("1").len()..];
        assert!(hall.take(slot) == rest, "session {slot}");
        assert_eq!(hall.sessions[&slot].replies.pending_bytes(), 0);
    }
    assert_eq!(addresses[0], addresses[1]);
}

#[test]
fn who_leaves_is_forgotten_with_all_its_memory() {
    let (mut all, mut hall) = (Subscriptions::default(), Hall::of(2, false));
    for name in ["a", "b"] {
        hall.listen(&mut all, 0, (Kind::Channel, name));
        hall.listen(&mut all, 1, (Kind::Pattern, name));
        hall.listen(&mut all, 1, (Kind::Pattern, name));
        hall.listen(&mut all, 1, (Kind::Shard, name));
    }
    let used = hall.sessions[&0].heap_bytes();
    assert!(all.memory_bytes() > 0 && used > 2 * NAME_OVERHEAD_BYTES);
    hall.sessions.get_mut(&0).expect("it is there").leave(&mut all);
    let other = hall.sessions.get_mut(&1).expect("it is there");
    for name in ["a", "b"] {
        other.ignore(&mut all, Kind::Pattern, name.as_bytes());
        other.ignore(&mut all, Kind::Shard, name.as_bytes());
    }
    assert!(!other.is_subscribed());
    assert_eq!(all.memory_bytes(), 0);
    assert_eq!(hall.sessions[&0].heap_bytes(), 0);
    assert_eq!(all.publish(false, b"a", b"x"), (0, 0));
}

#[test]
fn a_subscriber_with_too_much_unread_gets_nothing_more() {
    let (mut all, mut hall) = (Subscriptions::default(), Hall::of(2, false));
    for slot in 0..2 {
        hall.listen(&mut all, slot, (Kind::Channel, "c"));
    }
    for _ in 0..100 {
        all.publish(false, b"c", &[b'x'; 1000]);
        all.deliver(&mut hall, 10_000);
        hall.take(0);
    }
    let unread = hall.sessions[&1].replies.pending_bytes();
    assert!((10_000..12_000).contains(&unread), "{unread}");
}

#[test]
fn other_nodes_are_counted_as_they_said_last_and_hear_everything() {
    let (mut here, mut there) = (Subscriptions::default(), Subscriptions::default());
    let mut hall = Hall::of(2, false);
    hall.listen(&mut there, 0, (Kind::Channel, "c"));
    assert_eq!(here.publish(false, b"c", b"early"), (0, 0));
    tell(&mut here, &mut there);
    here.deliver(&mut Hall::default(), usize::MAX);
    tell(&mut there, &mut here);
    hall.listen(&mut there, 1, (Kind::Pattern, "c*"));
    tell(&mut there, &mut here);
    assert_eq!(here.publish(false, b"c", b"late"), (0, 2));
    assert_eq!((here.count(false, b"c"), here.all_patterns()), (1, 1));
    assert_eq!(here.names(false).len(), 1);
    tell(&mut here, &mut there);
    there.deliver(&mut hall, usize::MAX);
    assert_eq!(
        hall.take(0),
        "*3 $7 message $1 c $5 early *3 $7 message $1 c $4 late "
    );
    assert!(
        there.take_frames().is_empty(),
        "what came from a node is not passed on"
    );
    hall.sessions.get_mut(&0).expect("it is there").leave(&mut there);
    tell(&mut there, &mut here);
    assert_eq!(here.publish(false, b"c", b"last"), (0, 1));
    here.forget(1);
    assert_eq!(here.publish(false, b"c", b"last"), (0, 0));
    for frame in there.everything() {
        here.hear(1, &frame).expect("a node says it");
    }
    assert_eq!(here.publish(false, b"cc", b"last"), (0, 1));
}

#[test]
fn what_no_node_says_is_refused() {
    let mut all = Subscriptions::default();
    let pattern = [&[1, 1, 1, 0x81, 0x20][..], &[b'*'; 4097]].concat();
    for frame in [
        &b""[..],
        &[2],
        &[0, 3, 1, 0],
        &[0, 0, 1],
        &[0, 0, 1, 5, b'x'],
        &pattern,
    ] {
        assert!(all.hear(1, frame).is_err(), "{:?}", &frame[..frame.len().min(8)]);
    }
    for frame in [&[2, 0, 0][..], &[0, 1], &[0, 0, 9, b'x']] {
        assert!(all.receive(&Bytes::copy_from_slice(frame)).is_err(), "{frame:?}");
    }
    assert!(!all.has_news());
}
