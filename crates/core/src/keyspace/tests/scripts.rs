//! Scripts on a keyspace: what they answer and change, and that replicas stay equal whatever they do.

use bytes::Bytes;
use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;

use super::{Fixture, render};
use crate::command::{Command, parse};
use crate::keyspace::Keyspace;
use crate::limits::{LIBRARIES_BYTES_MAX, SCRIPT_OVERHEAD_BYTES, SCRIPT_TEXT_BYTES_MAX, SCRIPTS_BYTES_MAX};

impl Fixture {
    /// Executes a request of these words and renders its reply.
    fn ask(&mut self, words: &[&str]) -> String {
        let reply = self.execute(&OwnedRequest::new(words));
        render(&mut &reply[..])
    }

    fn eval(&mut self, script: &str) -> String {
        self.ask(&["EVAL", script, "0"])
    }

    /// Executes a script in slices of so many steps.
    fn eval_in_slices(&mut self, script: &str, steps: usize) -> String {
        self.in_slices(&OwnedRequest::new(["EVAL", script, "0"]), steps)
    }

    fn in_slices(&mut self, request: &OwnedRequest, steps: usize) -> String {
        let spec = resolve(request.view()).expect("it is a command");
        let mut bytes = Vec::new();
        parse(spec, 0, request.view())
            .expect("it parses")
            .encode(&mut bytes);
        let source = Bytes::from(bytes);
        let command = Command::decode(&mut &source[..]).expect("it was encoded just now");
        let mut task = Keyspace::begin(&command, &source);
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, false);
        while !self
            .keyspace
            .advance(&mut task, &mut steps.clone(), &mut writer, &mut |_, _| ())
        {}
        render(&mut &out[..])
    }
}

/// A second replica, from a snapshot of the first.
fn copy_of(keyspace: &mut Keyspace) -> Result<Keyspace, crate::keyspace::RestoreError> {
    // In a cluster the log has said the seed, and the snapshot brings it.
    let mut copy = Keyspace::new(crate::table::HashSeed::from_number(0x5eed));
    keyspace.snapshot_begin();
    loop {
        let mut chunk = Vec::new();
        let is_last = keyspace.snapshot_next(&mut chunk, 1000);
        copy.restore_chunk(&chunk)?;
        if is_last {
            return Ok(copy);
        }
    }
}

#[test]
fn a_script_reads_and_writes_as_its_commands_do() {
    let mut f = Fixture::new();
    for (script, expect) in [
        ("return redis.call('set','k','v').ok", "\"OK\""),
        ("return redis.call('get','k')", "\"v\""),
        ("return redis.call('get','none')", "nil"),
        (
            "return {redis.call('incr','n'), redis.call('incrby','n',41)}",
            "[1, 42]",
        ),
        (
            "redis.call('rpush','l','a','b','c') return redis.call('lrange','l',0,-1)",
            "[\"a\", \"b\", \"c\"]",
        ),
        ("return redis.call('hset','h','f','v','g','w')", "2"),
        (
            "return redis.pcall('lpush','k','x').err",
            "\"WRONGTYPE Operation against a key holding the wrong kind of value\"",
        ),
        (
            "redis.call('select', 3) redis.call('set','k3','x') return redis.call('dbsize')",
            "1",
        ),
        ("return redis.call('exists','k3')", "0"),
        ("return redis.call('keys','*')", "[\"h\", \"k\", \"l\", \"n\"]"),
        (
            "return redis.call('scan', 0)",
            "[\"0\", [\"h\", \"k\", \"l\", \"n\"]]",
        ),
        ("return redis.call('time')[1]", "\"1700000000\""),
        (
            "redis.call('set','t','x','px',500) return redis.call('pttl','t')",
            "500",
        ),
    ] {
        assert_eq!(f.eval(script), expect, "{script}");
    }
    for (words, expect) in [
        (
            &["EVAL", "return 1", "x"][..],
            "-ERR value is not an integer or out of range",
        ),
        (
            &["EVAL", "return 1", "1"],
            "-ERR Number of keys can't be greater than number of args",
        ),
        (
            &["EVAL", "return 1", "-1"],
            "-ERR Number of keys can't be negative",
        ),
        (
            &["EVALSHA", "abc", "0"],
            "-NOSCRIPT No matching script. Please use EVAL.",
        ),
        (&["EVAL", "#!lua", "0"], "-ERR Invalid script shebang"),
        (
            &["EVAL", "#!xx\nreturn 1", "0"],
            "-ERR Unexpected engine in script shebang: #!xx",
        ),
        (
            &["EVAL", "#!lua flags=foo\nreturn 1", "0"],
            "-ERR Unexpected flag in script shebang: foo",
        ),
        (
            &["EVAL", "#!lua name=x\nreturn 1", "0"],
            "-ERR Unknown lua shebang option: name=x",
        ),
        (
            &["EVAL_RO", "#!lua\nreturn 1", "0"],
            "-ERR Can not execute a script with write flag using *_ro command.",
        ),
        (
            &["SCRIPT", "FLUSH", "x"],
            "-ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ),
        (
            &["SCRIPT", "LOAD", "retur"],
            "-ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
        ),
    ] {
        assert_eq!(f.ask(words), expect, "{words:?}");
    }
}

#[test]
fn what_was_written_before_an_error_stays_written() {
    let mut f = Fixture::new();
    let reply = f.eval("redis.call('set','k','v') redis.call('lpush','k','x')");
    assert!(
        reply.starts_with("-WRONGTYPE") && reply.ends_with("on @user_script:1."),
        "{reply}"
    );
    assert_eq!(f.run("GET k"), "\"v\"");
    let reply = f.eval("redis.call('set','k','w') while true do end");
    assert!(reply.contains("used up"), "{reply}");
    assert_eq!(f.run("GET k"), "\"w\"");
}

#[test]
fn a_script_that_only_reads_is_no_write_and_may_not_write() {
    let mut f = Fixture::new();
    f.run("SET k v");
    let before = f.keyspace.digest();
    assert_eq!(
        f.ask(&["EVAL_RO", "return redis.call('get',KEYS[1])", "1", "k"]),
        "\"v\""
    );
    let denied = "Write commands are not allowed from read-only scripts.";
    for words in [
        &["EVAL_RO", "return redis.call('set','k','x')", "0"][..],
        &[
            "EVAL",
            "#!lua flags=no-writes\nreturn redis.call('set','k','x')",
            "0",
        ],
    ] {
        let request = OwnedRequest::new(words);
        let spec = resolve(request.view()).expect("a command");
        assert!(
            !parse(spec, 0, request.view()).expect("it parses").is_write(),
            "{words:?}"
        );
        assert!(f.ask(words).contains(denied), "{words:?}");
    }
    assert_eq!(
        f.keyspace.digest(),
        before,
        "nothing of it is in the state, not even the text"
    );
}

#[test]
fn the_cache_is_replicated_and_bounded() {
    let mut f = Fixture::new();
    let sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(f.ask(&["SCRIPT", "LOAD", "return 1"]), format!("\"{sha1}\""));
    assert_eq!(f.ask(&["EVALSHA", &sha1.to_uppercase(), "0"]), "1");
    f.eval("return 2");
    let mut copy = copy_of(&mut f.keyspace).expect("a snapshot is restored");
    assert_eq!(copy.digest(), f.keyspace.digest());
    assert_eq!(copy.known_scripts(), f.keyspace.known_scripts());
    std::mem::swap(&mut copy, &mut f.keyspace);
    assert_eq!(
        f.ask(&[
            "SCRIPT",
            "EXISTS",
            sha1,
            "x",
            "7f923f79fe76194c868d7e1d0820de36700eb649"
        ]),
        "[1, 0, 1]"
    );
    let with = f.keyspace.digest();
    assert_eq!(f.ask(&["SCRIPT", "FLUSH"]), "OK");
    assert_ne!(f.keyspace.digest(), with);
    assert_eq!(
        f.ask(&["EVALSHA", sha1, "0"]),
        "-NOSCRIPT No matching script. Please use EVAL."
    );
    // What came by SCRIPT LOAD is forgotten last.
    f.ask(&["SCRIPT", "LOAD", "return 1"]);
    let filler = "x".repeat(SCRIPTS_BYTES_MAX / 8 - SCRIPT_OVERHEAD_BYTES - 100);
    for number in 0..20 {
        f.eval(&format!("--{filler}{number:02}\nreturn {number}"));
        assert!(f.keyspace.known_scripts().1 <= SCRIPTS_BYTES_MAX);
    }
    assert_eq!(f.ask(&["SCRIPT", "EXISTS", sha1]), "[1]");
    assert!(f.keyspace.known_scripts().0 < 12);
}

/// A script that does something that depends on `number`, of shapes in which replicas could come to differ.
fn drawn(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let key = draw(9);
    let shapes = [
        format!(
            "local t = {{}} for i=1,{} do t[{{}}] = i end for k,v in pairs(t) do redis.call('rpush','l{key}',v) end",
            draw(60) + 1
        ),
        format!("redis.call('set','k{key}',tostring({{}})..tostring(print == nil))"),
        format!("redis.call('set','k{key}',tostring(function() end)) return math.random()"),
        format!(
            "for i=1,{} do redis.call('sadd','s{key}',math.random(1000)) end",
            draw(300)
        ),
        format!("return redis.call('spop','s{key}') or redis.call('srandmember','s{key}')"),
        format!(
            "local m = redis.call('srandmember','s{key}',3) for i,v in ipairs(m) do redis.call('rpush','l{key}',v) end"
        ),
        format!("for i,v in ipairs(redis.call('keys','*')) do redis.call('append','log{key}',v) end"),
        format!(
            "local r = redis.call('scan',0,'count',{}) redis.call('set','k{key}',table.concat(r[2],','))",
            draw(5) + 1
        ),
        format!(
            "redis.call('set','k{key}',redis.call('time')[1]) redis.call('pexpire','k{key}',{})",
            draw(200) + 1
        ),
        format!("redis.call('set','p{key}',redis.call('pttl','k{key}'))"),
        format!(
            "redis.call('hset','h{key}','f'..math.random(200),cjson.encode({{a={key},b={{}}}})) for i,v in ipairs(redis.call('hgetall','h{key}')) do redis.call('append','log{key}',v) end"
        ),
        format!(
            "for i=1,{} do redis.call('incr','n{key}') end error('enough')",
            draw(50)
        ),
        format!(
            "local t = {{}} while true do t[#t+1] = string.rep('x',8000000)..#t redis.call('incr','n{key}') end"
        ),
        format!(
            "local f function f(n) redis.call('incr','n{key}') return 1 + f(n+1) end f({})",
            draw(4)
        ),
        format!(
            "local co = coroutine.wrap(function() for i=1,{} do coroutine.yield(i) end end) redis.call('set','k{key}',co()..co()..tostring(co))",
            draw(9) + 3
        ),
        format!("redis.call('set','k{key}',cmsgpack.pack({{1,{{x=redis.call('dbsize')}}}})) error({{}})"),
        format!("local r = redis.pcall('randomkey') redis.call('set','k{key}',r.err)"),
        format!("table.sort({{3,1,2}}, function(a,b) redis.call('append','log{key}',a..b) return a<b end)"),
        format!(
            "string.gsub('abc','%w',function(c) redis.call('append','log{key}',c) end) redis.call('del','log{}')",
            draw(9)
        ),
    ];
    shapes[(number % shapes.len() as u64) as usize].clone()
}

#[test]
fn replicas_that_run_the_same_scripts_are_equal_however_they_are_cut() {
    let (mut left, mut right) = (Fixture::new(), Fixture::new());
    // The second one has run other scripts on its machine, and is a copy from a snapshot half way.
    right.ask(&[
        "EVAL_RO",
        "local t = {} for i=1,1000 do t[i] = {} end return 1",
        "0",
    ]);
    for number in 0..60 {
        let script = drawn(number);
        left.eval(&script);
        right.eval_in_slices(&script, 1 + number as usize % 37);
        let time_ms = left.keyspace.time_ms() + number % 7;
        left.keyspace.set_time(time_ms);
        right.keyspace.set_time(time_ms);
        assert_eq!(
            left.keyspace.digest(),
            right.keyspace.digest(),
            "{number}: {script}"
        );
        if number == 30 {
            right.keyspace = copy_of(&mut right.keyspace).expect("a snapshot is restored");
        }
    }
    #[cfg(feature = "bugs")]
    {
        right.keyspace = copy_of(&mut right.keyspace).expect("a snapshot is restored");
        right.keyspace.skew_scripts(4096);
        let differs = (0..40).any(|number| {
            left.eval(&drawn(number));
            right.eval(&drawn(number));
            left.keyspace.digest() != right.keyspace.digest()
        });
        assert!(differs, "a replica whose scripts see other addresses is found");
    }
}

const LIBRARY: &str = "#!lua name=lib\nlocal function double(x) return x * 2 end\n\
    redis.register_function('twice', function(keys, args) return double(tonumber(args[1])) end)\n\
    redis.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)";

#[test]
fn libraries_are_in_the_digest_and_in_snapshots() {
    let mut f = Fixture::new();
    let before = f.keyspace.digest();
    assert_eq!(f.ask(&["FUNCTION", "LOAD", LIBRARY]), "\"lib\"");
    assert_ne!(f.keyspace.digest(), before);
    assert_eq!(f.ask(&["FCALL", "TWICE", "0", "21"]), "42");
    assert_eq!(f.ask(&["FCALL", "put", "1", "k", "v"]), "OK");
    let copy = copy_of(&mut f.keyspace).expect("a snapshot of a keyspace can be restored");
    assert_eq!(copy.digest(), f.keyspace.digest());
    assert_eq!(copy.known_functions(), f.keyspace.known_functions());
    let mut g = Fixture {
        keyspace: copy,
        ..Fixture::new()
    };
    assert_eq!(g.ask(&["FCALL", "twice", "0", "4"]), "8");
    assert_eq!(g.ask(&["FUNCTION", "DELETE", "lib"]), "OK");
    assert_eq!(f.ask(&["FUNCTION", "FLUSH"]), "OK");
    assert_eq!(f.keyspace.known_functions(), (0, 0, 0));
    assert_eq!(
        g.keyspace.digest(),
        f.keyspace.digest(),
        "nothing of the library is left in either"
    );
}

#[test]
fn libraries_have_a_bound_and_what_goes_beyond_is_refused() {
    let mut f = Fixture::new();
    let filler = "x".repeat(LIBRARIES_BYTES_MAX / 9);
    let code = |name: &str| {
        format!("#!lua name={name}\nredis.register_function('{name}', function() end) --{filler}")
    };
    for name in ["a", "b", "c", "e", "g", "h", "i", "j"] {
        assert_eq!(f.ask(&["FUNCTION", "LOAD", &code(name)]), format!("\"{name}\""));
    }
    let reply = f.ask(&["FUNCTION", "LOAD", &code("d")]);
    assert!(
        reply.contains("FUNCTION DELETE those that nobody calls"),
        "{reply}"
    );
    assert_eq!(
        f.ask(&["FUNCTION", "LOAD", "REPLACE", &code("a")]),
        "\"a\"",
        "in place of itself there is room"
    );
    assert!(f.keyspace.known_functions().2 <= LIBRARIES_BYTES_MAX);
}

#[test]
fn a_library_that_does_not_end_is_refused_and_restoring_is_all_or_nothing() {
    let mut f = Fixture::new();
    let endless = "#!lua name=lib\nwhile true do end";
    assert!(
        f.ask(&["FUNCTION", "LOAD", endless])
            .contains("FUNCTION LOAD timeout")
    );
    f.ask(&["FUNCTION", "LOAD", LIBRARY]);
    let other = "#!lua name=other\nredis.register_function('other', function() return 1 end)";
    f.ask(&["FUNCTION", "LOAD", other]);
    let payload = f.execute(&OwnedRequest::new(["FUNCTION", "DUMP"]));
    let end = payload
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a bulk string");
    let payload = payload[end + 1..payload.len() - 2].to_vec();
    f.ask(&["FUNCTION", "DELETE", "lib"]);
    let digest = f.keyspace.digest();
    let restore = |f: &mut Fixture, policy: &str| {
        let reply = f.execute(&OwnedRequest::new([
            &b"FUNCTION"[..],
            b"RESTORE",
            &payload,
            policy.as_bytes(),
        ]));
        render(&mut &reply[..])
    };
    let refused = restore(&mut f, "APPEND");
    assert!(refused.contains("Library other already exists"), "{refused}");
    assert_eq!(
        f.keyspace.digest(),
        digest,
        "the library before it was not taken either"
    );
    assert_eq!(restore(&mut f, "REPLACE"), "OK");
    assert_eq!(f.keyspace.known_functions().1, 3);
    let mut damaged = payload.clone();
    damaged[10] ^= 1;
    let reply = f.execute(&OwnedRequest::new([
        &b"FUNCTION"[..],
        b"RESTORE",
        &damaged,
        b"FLUSH",
    ]));
    assert!(render(&mut &reply[..]).contains("checksum are wrong"));
    assert_eq!(f.keyspace.known_functions().1, 3);
}

#[test]
fn a_function_runs_in_slices_as_a_script_does() {
    let code = "#!lua name=l\nredis.register_function('f', function() local t = 0 for i = 1, 20000 do t = t + i end \
                redis.call('set', 'k', t) return t end)";
    let run = |steps: usize| {
        let mut f = Fixture::new();
        f.ask(&["FUNCTION", "LOAD", code]);
        let request = OwnedRequest::new(["FCALL", "f", "0"]);
        (f.in_slices(&request, steps), f.keyspace.digest())
    };
    assert_eq!(run(1), run(usize::MAX));
    assert_eq!(run(3).0, "200010000");
}

#[test]
fn a_text_that_takes_long_to_compile_is_refused_and_a_payload_is_unpacked_within_bounds() {
    let mut f = Fixture::new();
    let long = "-".repeat(SCRIPT_TEXT_BYTES_MAX + 1);
    for request in [["EVAL", &long, "0"], ["SCRIPT", "LOAD", &long]] {
        assert!(f.ask(&request).contains("may have 1048576 bytes"));
    }
    let library = format!("#!lua name=x\n{long}");
    assert!(
        f.ask(&["FUNCTION", "LOAD", &library])
            .contains("may have 1048576 bytes")
    );
    // One compressed string that says that it is of 512 MiB: 0xf5, 0xc3, both lengths, and what is no such thing.
    let payload = b"\xf5\xc3\x0a\x80\x20\x00\x00\x000123456789\x0a\x00\0\0\0\0\0\0\0\0";
    let reply = f.execute(&OwnedRequest::new([&b"FUNCTION"[..], b"RESTORE", payload]));
    assert!(render(&mut &reply[..]).starts_with('-'));
    assert_eq!(f.keyspace.known_functions(), (0, 0, 0));
}
