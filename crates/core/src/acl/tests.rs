//! Rules read, judged and shown.

use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;

use super::*;

fn changed(users: &mut Users, change: &UserChange<'_>) -> String {
    let mut reply = Vec::new();
    users.apply(change, &mut ReplyWriter::new(&mut reply, false));
    String::from_utf8_lossy(&reply).trim_end().to_owned()
}

fn set(users: &mut Users, name: &str, rules: &str) -> String {
    let words = rules.split(' ').filter(|word| !word.is_empty());
    let words = merge_selectors(words.map(str::as_bytes));
    let words = words.expect("the selectors end");
    let change = UserChange::Set {
        name: name.as_bytes(),
        rules: words.iter().map(Vec::as_slice).collect(),
    };
    changed(users, &change)
}

fn delete(users: &mut Users, names: &[&str]) -> String {
    let names = names.iter().map(|name| name.as_bytes()).collect();
    changed(users, &UserChange::Delete { names })
}

fn shown(users: &Users, name: &str) -> String {
    let user = users.get(name.as_bytes()).expect("there is such a user");
    String::from_utf8_lossy(&user.describe(None)).into_owned()
}

fn judged(users: &Users, name: &str, request: &str) -> String {
    let words = OwnedRequest::new(request.split_whitespace());
    let spec = resolve(words.view()).expect("a request that names a command");
    let user = users.get(name.as_bytes()).expect("there is such a user");
    match user.judge(spec, words.view()) {
        Ok(()) => "ok".to_owned(),
        Err(Denied::Command) => "command".to_owned(),
        Err(Denied::Key(position)) => format!("key {position}"),
        Err(Denied::Channel(position)) => format!("channel {position}"),
    }
}

const HASH: &str = "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

#[test]
fn rules_are_shown_as_they_were_said() {
    let check = |rules: &str, expect: &str| {
        let mut users = Users::default();
        assert_eq!(set(&mut users, "u", rules), "+OK", "{rules}");
        assert_eq!(shown(&users, "u"), expect, "{rules}");
    };
    check("", "off resetchannels -@all");
    check("on nopass ~* &* +@all", "on nopass ~* &* +@all");
    check(
        "ON NOPASS allkeys allchannels allcommands",
        "on nopass ~* &* +@all",
    );
    check(&format!("on {HASH}"), &format!("on {HASH} resetchannels -@all"));
    check(&format!("nopass {HASH} resetpass"), "off resetchannels -@all");
    check(
        "+GET +@read -get +set",
        "off resetchannels -@all +@read -get +set",
    );
    check("+client +client|list -client", "off resetchannels -@all -client");
    check(
        "+client|list -client|list",
        "off resetchannels -@all -client|list",
    );
    check("+get +@all -set", "off resetchannels +@all -set");
    check(
        "~a %R~b %W~c %RW~d %R~e %W~e",
        "off ~a %R~b %W~c ~d ~e resetchannels -@all",
    );
    check("~a resetkeys ~b", "off ~b resetchannels -@all");
    check(
        "(~a +get) (%R~b) clearselectors (~c)",
        "off resetchannels -@all (~c resetchannels -@all)",
    );
    check(
        "~a Read=EVENTUAL on write=quorum (+get)",
        "on read=eventual ~a resetchannels -@all (resetchannels -@all +get)",
    );
    check(
        "read-floor=linearizable nopass",
        "off nopass read-floor=linearizable resetchannels -@all",
    );
    check("read=eventual reset", "off resetchannels -@all");
    check("read=eventual read=linearizable", "off resetchannels -@all");
}

#[test]
fn channels_are_judged_where_they_are_published_or_subscribed_to() {
    let mut users = Users::default();
    assert_eq!(set(&mut users, "u", "on +@all &news.* &jobs"), "+OK");
    for (request, expect) in [
        ("publish news.a hi", "ok"),
        ("publish news hi", "channel 1"),
        ("subscribe jobs news.b other", "channel 3"),
        ("spublish jobs hi", "ok"),
        ("ssubscribe jobs other", "channel 2"),
        // A pattern could fit more than the one that is allowed, so it must be that one.
        ("psubscribe news.*", "ok"),
        ("psubscribe news.a", "channel 1"),
        ("unsubscribe other", "ok"),
        ("sunsubscribe other", "ok"),
    ] {
        assert_eq!(judged(&users, "u", request), expect, "{request}");
    }
    assert_eq!(set(&mut users, "u", "allchannels"), "+OK");
    assert_eq!(judged(&users, "u", "psubscribe *"), "ok");
    let user = users.get(b"u").expect("there is such a user");
    assert!(!user.is_unrestricted(), "it may touch no key");
}

#[test]
fn selectors_have_rules_of_their_own() {
    let mut users = Users::default();
    assert_eq!(
        set(
            &mut users,
            "u",
            "on ~own:* +@read (~shared:* +get) (%W~in:* +set)"
        ),
        "+OK"
    );
    assert_eq!(
        shown(&users, "u"),
        "on ~own:* resetchannels -@all +@read (~shared:* resetchannels -@all +get) \
         (%W~in:* resetchannels -@all +set)"
    );
    assert_eq!(judged(&users, "u", "get own:1"), "ok");
    assert_eq!(judged(&users, "u", "get shared:1"), "ok");
    assert_eq!(judged(&users, "u", "strlen shared:1"), "key 1");
    assert_eq!(judged(&users, "u", "set in:1 v"), "ok");
    assert_eq!(judged(&users, "u", "set in:1 v GET"), "key 1");
    // A union of two selectors grants nothing that neither grants.
    assert_eq!(judged(&users, "u", "mget own:1 shared:1"), "key 2");
    assert_eq!(judged(&users, "u", "del own:1"), "command");
    assert_eq!(set(&mut users, "u", "clearselectors"), "+OK");
    assert_eq!(judged(&users, "u", "get shared:1"), "key 1");
}

#[test]
fn what_is_no_rule_changes_nothing_and_says_why() {
    let mut users = Users::default();
    assert_eq!(set(&mut users, "u", "~a"), "+OK");
    let before = users.digest();
    let check = |users: &mut Users, rules: &str, why: RuleError| {
        let last = rules.split(' ').next_back().unwrap_or_default();
        let expect = format!("-ERR Error in ACL SETUSER modifier '{last}': {}", why.text());
        assert_eq!(set(users, "u", rules), expect, "{rules}");
        assert_eq!(users.digest(), before, "{rules}");
    };
    for rules in [
        "foo",
        "on +get|",
        "%~a",
        "%X~a",
        "%RR~a",
        "~a\x0bb",
        "&a\x0bb",
        "write-floor=quorum",
        "(read=eventual)",
        "(foo)",
        "(on)",
        "((+get))",
    ] {
        check(&mut users, rules, RuleError::Syntax);
    }
    for rules in [
        "+foo",
        "+@foo",
        "on -@foo",
        "+",
        "-select|0",
        "+config|foo",
        "-get|a",
        "+get|a|b",
    ] {
        check(&mut users, rules, RuleError::Unknown);
    }
    check(&mut users, "+config|get|x", RuleError::ArgumentOfSubcommand);
    check(&mut users, "~* ~a", RuleError::AfterAllKeys);
    check(&mut users, "&* &a", RuleError::AfterAllChannels);
    check(&mut users, "#abc", RuleError::NotAHash);
    check(&mut users, &HASH.to_uppercase(), RuleError::NotAHash);
    check(&mut users, &HASH.replace('#', "!"), RuleError::NoSuchPassword);
    check(&mut users, "read=origin", RuleError::ReadLevelNotBuilt);
    check(&mut users, "read=bounded:0ms", RuleError::NoBound);
    check(&mut users, "write=async", RuleError::WriteLevelNotBuilt);
    check(
        &mut users,
        "read=eventual read-floor=linearizable",
        RuleError::BelowFloor,
    );
    assert_eq!(
        set(&mut users, "u\x0bv", "on"),
        format!("-{}", repligo_proto::words::acl::INVALID_USER_NAME)
    );
}

#[test]
fn a_command_that_only_redis_has_can_be_named() {
    let mut users = Users::default();
    assert_eq!(
        set(&mut users, "u", "+@all -eval -xinfo|stream +subscribe"),
        "+OK"
    );
    assert_eq!(
        shown(&users, "u"),
        "off resetchannels +@all -eval -xinfo|stream +subscribe"
    );
    assert_eq!(judged(&users, "u", "client list"), "ok");
}

#[test]
fn commands_are_allowed_by_name_category_subcommand_and_first_argument() {
    let mut users = Users::default();
    assert_eq!(
        set(
            &mut users,
            "u",
            "~* +@connection -client +client|id +select|1 +@read -get"
        ),
        "+OK"
    );
    for (request, expect) in [
        ("ping", "ok"),
        ("client id", "ok"),
        ("client list", "command"),
        ("strlen k", "ok"),
        ("get k", "command"),
        ("set k v", "command"),
        // What a connection needs to log in is everybody's.
        ("auth p", "ok"),
        ("quit", "ok"),
    ] {
        assert_eq!(judged(&users, "u", request), expect, "{request}");
    }
    assert_eq!(set(&mut users, "u", "-@all +select|1"), "+OK");
    assert_eq!(judged(&users, "u", "select 1"), "ok");
    assert_eq!(judged(&users, "u", "select 0"), "command");
    assert_eq!(set(&mut users, "u", "-select"), "+OK");
    assert_eq!(judged(&users, "u", "select 1"), "command");
}

#[test]
fn keys_are_judged_by_what_the_command_does_with_them() {
    let mut users = Users::default();
    assert_eq!(set(&mut users, "u", "+@all %R~r* %W~w* ~b*"), "+OK");
    for (request, expect) in [
        ("get r1", "ok"),
        ("get w1", "key 1"),
        ("set w1 v", "ok"),
        ("set w1 v get", "key 1"),
        ("set r1 v", "key 1"),
        ("rename b1 w1", "ok"),
        ("rename r1 w1", "key 1"),
        ("rename b1 r1", "key 2"),
        ("mset w1 a w2 b r1 c", "key 5"),
        // Whether a key is there is told to whoever may do anything with it.
        ("exists r1 w1 b1", "ok"),
        ("exists r1 x", "key 2"),
        ("watch w1", "ok"),
        ("bitfield r1 get u8 0", "ok"),
        ("bitfield r1 get u8 0 overflow fail", "ok"),
        ("bitfield r1 get u8 0 set u8 0 1", "key 1"),
        ("bitfield r1 get u8", "key 1"),
        ("sort r1 limit store 1 store w1", "ok"),
        ("sort r1 by nosort store r1", "key 5"),
        ("sort r1 get x", "key 3"),
        ("sort_ro r1 desc by r*", "key 4"),
        ("copy r1 w1", "ok"),
        ("copy w1 w1", "key 1"),
    ] {
        assert_eq!(judged(&users, "u", request), expect, "{request}");
    }
    // What SORT reads beside its key follows from what the key holds.
    assert_eq!(set(&mut users, "u", "%R~*"), "+OK");
    assert_eq!(judged(&users, "u", "sort r1 by r* get # store w1"), "ok");
}

#[test]
fn the_default_user_stays_and_numbers_are_not_given_twice() {
    let mut users = Users::default();
    assert!(delete(&mut users, &["default"]).starts_with("-ERR The 'default'"));
    assert_eq!(delete(&mut users, &["nobody"]), ":0");
    assert_eq!(users.digest(), 0);
    set(&mut users, "u", "on +@all ~*");
    let first = users.get(b"u").expect("made").clone();
    let actor = users.actor(&first);
    assert!(users.still_lets(actor));
    assert_eq!(delete(&mut users, &["u", "u", "nobody"]), ":1");
    assert!(!users.still_lets(actor));
    set(&mut users, "u", "on +@all ~*");
    assert!(!users.still_lets(actor) && !users.get(b"u").expect("made").is_same(&first));
}

#[test]
fn rights_that_only_grow_refuse_nothing_that_is_under_way() {
    let mut users = Users::default();
    set(&mut users, "u", "on +get ~a");
    let user = users.get(b"u").expect("made").clone();
    let actor = users.actor(&user);
    for rules in ["+set", "~b", "on", "(+del ~c)", HASH, "off"] {
        assert_eq!(set(&mut users, "u", rules), "+OK");
        assert!(users.still_lets(actor), "{rules}");
    }
    let others = users.clone();
    for rules in [
        "-get",
        "-@write",
        "resetkeys",
        "nocommands",
        "reset",
        "clearselectors",
        "resetchannels",
    ] {
        let mut users = others.clone();
        assert_eq!(set(&mut users, "u", rules), "+OK");
        assert!(!users.still_lets(actor), "{rules}");
        // What is judged by the new rights goes on.
        let user = users.get(b"u").expect("made").clone();
        assert!(users.still_lets(users.actor(&user)), "{rules}");
    }
    set(&mut users, "v", "-@all");
    assert!(users.still_lets(actor), "another user's rights are no concern");
}

#[test]
fn the_default_user_is_judged_from_its_first_loss_on() {
    let mut users = Users::default();
    let plain = users.actor(users.default_user());
    assert!(plain.is_plain() && users.default_is_untouched());
    set(&mut users, "u", "on");
    set(&mut users, "default", &format!("resetpass {HASH}"));
    assert!(users.default_is_untouched() && users.still_lets(plain));
    set(&mut users, "default", "-flushall");
    assert!(!users.default_is_untouched() && !users.still_lets(plain));
    assert!(!users.actor(users.default_user()).is_plain());
    set(&mut users, "default", "+@all");
    assert!(users.still_lets(plain), "it may do everything again");
}

#[test]
fn users_come_back_from_their_bytes() {
    let mut users = Users::default();
    let mut bytes = Vec::new();
    users.encode(&mut bytes);
    assert!(bytes.is_empty() && Users::decode(&bytes).is_ok_and(|users| users.is_untouched()));
    set(&mut users, "default", &format!("resetpass {HASH} -debug"));
    set(
        &mut users,
        "u",
        "on nopass read=eventual ~a %R~b &c +@read -get +select|1 +client|id (~d +set) (+@all)",
    );
    set(&mut users, "v", "reset");
    delete(&mut users, &["v"]);
    users.encode(&mut bytes);
    let read = Users::decode(&bytes).expect("what was encoded");
    assert_eq!((read.digest(), read.version()), (users.digest(), users.version()));
    for name in ["default", "u"] {
        assert_eq!(shown(&read, name), shown(&users, name));
    }
    for request in [
        "get a",
        "strlen a",
        "strlen b",
        "set d v",
        "select 1",
        "select 2",
        "client id",
        "del x",
    ] {
        assert_eq!(
            judged(&read, "u", request),
            judged(&users, "u", request),
            "{request}"
        );
    }
    assert_eq!(read.bytes, users.bytes);
    for length in 1..bytes.len() {
        assert!(Users::decode(&bytes[..length]).is_err(), "{length}");
    }
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes);
}

/// A directory or a peer may have users of the level before this one, which knew no profiles: bytes of a user without one
/// are as they were.
#[test]
fn a_profile_adds_a_flag_and_two_bytes_and_without_one_nothing_has_changed() {
    let with = |rules: &str| {
        let mut users = Users::default();
        assert_eq!(set(&mut users, "u", rules), "+OK");
        let mut bytes = Vec::new();
        users.encode(&mut bytes);
        let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (text.concat(), bytes)
    };
    let default = "01 02 02 00 00 07 64656661756c74 03 00 01 07 00 00 00";
    let check = |rules: &str, user: &str| {
        let expect = format!("{default} {user}").replace(' ', "");
        assert_eq!(with(rules).0, expect, "{rules}");
    };
    check("on +get", "01 00 01 75 05 00 01 00 00 00 01 01 03 676574");
    check(
        "on +get read=eventual",
        "01 00 01 75 0d 00 01 00 00 00 01 01 03 676574 01 01",
    );
    check(
        "on +get read-floor=linearizable",
        "01 00 01 75 0d 00 01 00 00 00 01 01 03 676574 00 00",
    );
    // A flag that this release does not know may stand for a right.
    let (_, mut bytes) = with("on +get");
    let flags = bytes.len() - 12;
    assert_eq!(bytes[flags], 5, "{bytes:?}");
    bytes[flags] |= 16;
    assert!(Users::decode(&bytes).is_err());
}

#[test]
fn users_take_no_more_than_their_limit() {
    let mut users = Users::default();
    let pattern = format!("~{}", "x".repeat(1 << 20));
    for number in 0..7 {
        assert_eq!(set(&mut users, &format!("u{number}"), &pattern), "+OK");
    }
    let before = users.digest();
    let long = format!("{pattern} ~{}", "y".repeat(1 << 20));
    assert!(set(&mut users, "u8", &long).starts_with("-ERR the users"));
    assert_eq!(users.digest(), before);
    assert_eq!(delete(&mut users, &["u0"]), ":1");
    assert_eq!(set(&mut users, "u8", &pattern), "+OK");
}

#[test]
fn passwords_are_known_by_their_hashes() {
    let mut users = Users::default();
    set(&mut users, "u", HASH);
    let hash = hash_of_digits(&HASH[1..]);
    let user = users.get(b"u").expect("made");
    assert!(user.has_password(&hash) && !user.has_password(&PasswordHash::default()));
    assert!(!user.needs_no_password() && !user.is_enabled());
    set(&mut users, "u", &HASH.replace('#', "!"));
    assert!(!users.get(b"u").expect("made").has_password(&hash));
}

fn hash_of_digits(digits: &str) -> PasswordHash {
    super::rules::hash_of(digits.as_bytes()).expect("64 digits")
}

/// A stream of numbers (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A rule as somebody could write it, in a part of the cases with an error in it.
    fn rule(&mut self) -> Vec<u8> {
        const SEEDS: [&str; 39] = [
            "on",
            "off",
            "nopass",
            "resetpass",
            "reset",
            "clearselectors",
            "sanitize-payload",
            "allkeys",
            "resetkeys",
            "allchannels",
            "resetchannels",
            "allcommands",
            "nocommands",
            "+@all",
            "-@all",
            "+@read",
            "-@write",
            "+@repligo",
            "+get",
            "-set",
            "+client|list",
            "-client|list",
            "+client|nothing",
            "+select|0",
            "~*",
            "~app:*",
            "%R~r:*",
            "%W~w[",
            "%RW~x",
            "%~y",
            "&*",
            "&news.*",
            "(+get ~a)",
            "(%R~b +@read)",
            "()",
            "read=eventual",
            "read=linearizable",
            "read-floor=linearizable",
            HASH,
        ];
        let mut rule = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..self.below(3) {
            let byte = b"+-@~%&#!()|*RW <>\0\xff\n[]ag0"[self.below(25)];
            let place = self.below(rule.len() + 1);
            match self.below(4) {
                0 => rule.insert(place, byte),
                1 if place < rule.len() => rule[place] = byte,
                2 => rule.truncate(place),
                _ => rule.extend_from_slice(&rule.clone()[place..]),
            }
        }
        rule
    }
}

#[test]
fn mutated_rules_are_taken_or_refused_whole() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 1..20_000 {
        let mut chance = Chance(seed);
        let mut users = Users::default();
        assert_eq!(set(&mut users, "u", "on ~first:* +get"), "+OK");
        let (before, digest) = (shown(&users, "u"), users.digest());
        let given: Vec<Vec<u8>> = (0..1 + chance.below(5)).map(|_| chance.rule()).collect();
        let Ok(rules) = merge_selectors(given.iter().map(Vec::as_slice)) else {
            continue;
        };
        let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        let checked = users.check(b"u", rules.iter().copied());
        let change = UserChange::Set {
            name: b"u",
            rules: rules.clone(),
        };
        if changed(&mut users, &change) != "+OK" {
            refused += 1;
            assert_eq!(
                (shown(&users, "u"), users.digest()),
                (before, digest),
                "{given:?}"
            );
            continue;
        }
        taken += 1;
        assert!(
            checked.is_ok(),
            "refused where it arrives, and taken by the log: {given:?}"
        );
        // What was taken survives a snapshot.
        let mut encoded = Vec::new();
        users.encode(&mut encoded);
        let decoded = Users::decode(&encoded).expect("as it was encoded");
        assert_eq!(decoded.digest(), users.digest(), "{given:?}");
    }
    assert!(taken > 200 && refused > 200, "{taken} taken, {refused} refused");
}
