//! What scripts do on a machine alone: values, errors, limits, and that nothing differs between two machines.

use repligo_script::{
    CallKind, FUNCTION_FLAGS, FunctionCall, Limits, Machine, Progress, Registered, Script, sha1_hex,
};

const LIMITS: Limits = Limits {
    instructions: 2_000_000,
    memory_bytes: 8 << 20,
};

/// What commands answer here: their words, as an array.
fn echo(machine: &Machine) -> Vec<u8> {
    machine.with_words(|words| {
        let words: Vec<_> = words.map(<[u8]>::to_vec).collect();
        match words[0].as_slice() {
            b"fail" => b"-WRONGTYPE no\r\n".to_vec(),
            b"nil" => b"$-1\r\n".to_vec(),
            b"ok" => b"+OK\r\n".to_vec(),
            b"one" => b":1\r\n".to_vec(),
            b"map" => b"%1\r\n+k\r\n,1.5\r\n".to_vec(),
            _ => {
                let mut out = format!("*{}\r\n", words.len()).into_bytes();
                for word in words {
                    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                    out.extend_from_slice(&word);
                    out.extend_from_slice(b"\r\n");
                }
                out
            }
        }
    })
}

fn run_on(machine: &mut Machine, body: &[u8], (slice, is_resp3): (u64, bool)) -> (String, u64) {
    let script = Script {
        body,
        keys: &[b"k1", b"k2"],
        arguments: &[b"a1"],
        sha1: &sha1_hex(body),
        seed: 7,
        is_resp3,
    };
    let mut spent = 0;
    if let Err(error) = machine.begin(&script, LIMITS) {
        return (format!("-{}", String::from_utf8_lossy(&error)), 0);
    }
    loop {
        match machine.resume(slice, &mut spent) {
            Progress::Paused => {}
            Progress::Call(kind) => {
                let answer = match kind {
                    CallKind::MayRun => b":1\r\n".to_vec(),
                    _ => echo(machine),
                };
                *machine.answer() = answer;
            }
            Progress::Done => {
                let reply = String::from_utf8_lossy(&machine.reply()).replace("\r\n", "|");
                let sha1 = String::from_utf8_lossy(&sha1_hex(body)).into_owned();
                return (reply.replace(&sha1, "SHA"), spent);
            }
        }
    }
}

fn run(body: &str) -> String {
    run_on(&mut Machine::default(), body.as_bytes(), (1 << 40, false)).0
}

fn check(body: &str, expect: &str) {
    assert_eq!(run(body), expect, "{body}");
}

#[test]
fn values_become_replies() {
    for (body, expect) in [
        ("return 1", ":1|"),
        ("return 3.99", ":3|"),
        ("return -1e300", ":-9223372036854775808|"),
        ("return 'x'", "$1|x|"),
        ("return true", ":1|"),
        ("return false", "$-1|"),
        ("return nil", "$-1|"),
        ("return {1,2,{3.7,'a'},nil,5}", "*3|:1|:2|*2|:3|$1|a|"),
        ("return {}", "*0|"),
        ("return {ok='a\\r\\nb'}", "+a  b|"),
        ("return {err='-a b'}", "--a b|"),
        ("return {double=3.5}", "$3|3.5|"),
        ("return {map={a=1}}", "*2|$1|a|:1|"),
        ("return {big_number='12'}", "$2|12|"),
        ("return {verbatim_string={format='txt',string='abc'}}", "$3|abc|"),
        (
            "return {KEYS[1],KEYS[2],ARGV[1],#KEYS,#ARGV}",
            "*5|$2|k1|$2|k2|$2|a1|:2|:1|",
        ),
        (
            "return redis.call('x', 1, 1.5, 1e15)",
            "*4|$1|x|$1|1|$3|1.5|$16|1000000000000000|",
        ),
        (
            "return {redis.call('nil') == false, redis.call('ok').ok}",
            "*2|:1|$2|OK|",
        ),
        ("redis.setresp(3) return redis.call('nil') == nil", ":1|"),
        ("redis.setresp(3) return redis.call('map').map.k ~= nil", ":0|"),
        ("return redis.error_reply('foo')", "-ERR foo|"),
        ("return redis.error_reply('FOO bar')", "-FOO bar|"),
        ("return redis.status_reply('FINE')", "+FINE|"),
        (
            "return redis.sha1hex('')",
            "$40|da39a3ee5e6b4b0d3255bfef95601890afd80709|",
        ),
        (
            "return {redis.replicate_commands(), redis.acl_check_cmd('get','x')}",
            "*2|:1|:1|",
        ),
        ("return tostring(1e15)", "$5|1e+15|"),
        ("return cjson.null", "$-1|"),
        ("return getmetatable('').__index == string", ":1|"),
    ] {
        check(body, expect);
    }
}

#[test]
fn errors_tell_where_they_arose() {
    let at = " script: SHA, on @user_script:1.|";
    for (body, expect) in [
        ("a=1", "ERR user_script:1: Attempt to modify a readonly table"),
        (
            "return a",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'a'",
        ),
        (
            "string.x=1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        (
            "KEYS='x'",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        ("setmetatable(_G,{})", "ERR Attempt to modify a readonly table"),
        ("rawset(_G,'x',1)", "ERR Attempt to modify a readonly table"),
        (
            "getmetatable('').x=1",
            "ERR user_script:1: Attempt to modify a readonly table",
        ),
        ("error('boom')", "ERR user_script:1: boom"),
        ("error({err='X'})", "X"),
        ("error()", "ERR nil"),
        ("error({})", "ERR unknown error"),
        (
            "redis.call()",
            "ERR Please specify at least one argument for this redis lib call",
        ),
        (
            "redis.call({})",
            "ERR Lua redis lib command arguments must be strings or integers",
        ),
        ("redis.call('fail')", "WRONGTYPE no"),
        ("redis.sha1hex()", "ERR wrong number of arguments"),
        (
            "return 1+{}",
            "ERR user_script:1: attempt to perform arithmetic on a table value",
        ),
        (
            "return string.rep()",
            "ERR user_script:1: bad argument #1 to 'rep' (string expected, got no value)",
        ),
        (
            "return bit.bor('x')",
            "ERR user_script:1: bad argument #1 to 'bor' (number expected, got string)",
        ),
        (
            "return cjson.decode('{')",
            "ERR user_script:1: Expected object key string but found T_END at character 2",
        ),
        (
            "local function f() return 1+f() end return f()",
            "ERR user_script:1: stack overflow",
        ),
        (
            "return os.time()",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'os'",
        ),
        (
            "return print",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'print'",
        ),
    ] {
        check(body, &format!("-{expect}{at}"));
    }
    check(
        "retur",
        "-ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
    );
    check(
        "local a,b = pcall(redis.call,'fail') return {tostring(a), b}",
        "*2|$5|false|$12|WRONGTYPE no|",
    );
    check("return redis.pcall('fail')", "-WRONGTYPE no|");
    check(
        "return redis.pcall()",
        "-ERR Please specify at least one argument for this redis lib call|",
    );
}

#[test]
fn libraries_speak_as_those_of_redis() {
    for (body, expect) in [
        ("return cjson.encode({1,2,3})", "[1,2,3]"),
        ("return cjson.encode({})", "{}"),
        ("return cjson.encode({a=1.5})", r#"{"a":1.5}"#),
        (
            "return cjson.encode(cjson.decode('[1,null,\"a\\\\u00e9/\",{\"x\":[]},true,1e3]'))",
            "[1,null,\"aé\\/\",{\"x\":{}},true,1000]",
        ),
        ("return bit.tohex(255)", "000000ff"),
        ("return tostring(bit.bor(1,2,4))", "7"),
        ("return tostring(bit.bnot(0))", "-1"),
        ("return tostring(bit.rshift(-1, 28))", "15"),
        (
            "local a,b,c = struct.unpack('>I2h', struct.pack('>I2h', 513, -2)) return a..':'..b..':'..c",
            "513:-2:5",
        ),
        ("return struct.pack('s', 'ab')", "ab\0"),
        (
            "return cjson.encode(cmsgpack.unpack(cmsgpack.pack({1,'a',{x=2.5}})))",
            r#"[1,"a",{"x":2.5}]"#,
        ),
        (
            "return tostring(#cmsgpack.pack({1,2,300,70000,-1,-200,'x',true}))",
            "18",
        ),
    ] {
        check(body, &format!("${}|{expect}|", expect.len()));
    }
}

#[test]
fn a_script_that_does_not_end_is_ended_at_the_same_place_however_it_is_cut() {
    for body in [
        "local n = 0 while true do n = n + 1 end",
        "while true do pcall(function() while true do end end) end",
        "local f f = function() return pcall(f) end while true do f() end",
        "while true do local s = string.rep('x', 1000000) end",
        "while true do coroutine.wrap(function() for i=1,100 do end end)() end",
        "local t = {} for i=1,1e9 do redis.call('x') end",
        "local s = string.rep('a', 100000) while true do s:gsub('a', function() end) end",
        "local s = string.rep('a', 3000) while true do s:find(string.rep('a*', 3)..'b') end",
        "local t = {} for i=1,1e9 do table.insert(t, 1, i) end",
        "local t = {} for i=1,2e5 do t[i] = i end while next(t) do t[next(t)] = nil end",
        "local t = {} for i=1,1e5 do t[i] = -i end while true do table.sort(t) t[1], t[2] = t[2], t[1] end",
    ] {
        let whole = run_on(&mut Machine::default(), body.as_bytes(), (1 << 40, false));
        let cut = run_on(&mut Machine::default(), body.as_bytes(), (5_000, false));
        assert!(
            whole.0.starts_with("-ERR user_script:1: the script has used up"),
            "{body}: {}",
            whole.0
        );
        assert_eq!(whole, cut, "{body}");
    }
}

#[test]
fn a_script_gets_no_more_memory_than_its_limit() {
    for body in [
        "local t = {} for i=1,1e9 do t[i] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 1e9)",
        "local t = {} for i=1,1e7 do t[#t+1] = tostring(i) .. 'xxxxxxxxxxxxxxxxxxxxxxxxx' end",
        "local s = string.rep('[', 900) .. string.rep(']', 900) local t = {} for i=1,1e6 do t[i] = cjson.decode(s) end",
    ] {
        let reply = run(body);
        assert!(
            reply.contains("not enough memory") || reply.contains("used up"),
            "{body}: {reply}"
        );
    }
    // Whoever catches it goes on.
    check(
        "local ok = pcall(string.rep, 'x', 1e9) return tostring(ok)",
        "$5|false|",
    );
}

#[test]
fn nothing_is_left_of_an_earlier_script_on_the_machine() {
    let mut machine = Machine::default();
    let first = "cjson.encode_max_depth(3) math.randomseed(3) local mt = {} return cjson.encode({{{1}}})";
    run_on(&mut machine, first.as_bytes(), (1 << 40, false));
    run_on(
        &mut machine,
        b"local t = {} for i=1,1e9 do t[i] = {} end",
        (1 << 40, false),
    );
    let probe = "local t = {} for i=1,200 do t[{}] = i end local s = {} for k,v in pairs(t) do s[#s+1] = v end \
                 s[#s+1] = tostring(t) s[#s+1] = tostring(print == nil and 1 or 2) return s";
    let probe = probe.replace("tostring(print == nil and 1 or 2)", "tostring(math.random())");
    let used = run_on(&mut machine, probe.as_bytes(), (1 << 40, false));
    let fresh = run_on(&mut Machine::default(), probe.as_bytes(), (777, false));
    assert_eq!(used, fresh);
    let mut skewed = Machine::new(4096 * 3);
    assert_ne!(used.0, run_on(&mut skewed, probe.as_bytes(), (1 << 40, false)).0);
}

#[test]
fn patterns_that_backtrack_are_refused_and_others_are_not() {
    for body in [
        "return string.find(string.rep('a', 60), string.rep('a*', 30) .. 'b')",
        "return string.match(string.rep('a', 5000), string.rep('.-', 20) .. 'b')",
        "return string.gsub(string.rep('(', 100000), '%b()', '')",
        "return string.find('x', string.rep('a?', 100000))",
    ] {
        let reply = run(body);
        assert!(
            reply.contains("pattern too complex") || reply.contains("used up"),
            "{body}: {reply}"
        );
    }
    for (body, expect) in [
        (
            "return #string.gsub(string.rep('ab ', 1000), '(%w)(%w)', '%2%1')",
            ":3000|",
        ),
        (
            "return string.match(string.rep('x', 2000) .. '=42;', '(%w+)=(%d*)') ~= nil",
            ":1|",
        ),
        (
            "return {string.find(string.rep(' ', 500) .. 'key: value', '^%s*(%w+):%s*(.-)%s*$')}",
            "*4|:1|:510|$3|key|$5|value|",
        ),
        ("return string.find('a.b', '.', 1, true)", ":2|"),
        (
            "local n = 0 for w in string.gmatch(string.rep('a,b;', 300), '[^,;]+') do n = n + 1 end return n",
            ":600|",
        ),
        (
            "return string.gsub(string.rep('THE (quick) fox', 20), '%f[%a]%a+', '') ~= nil",
            ":1|",
        ),
        (
            "return string.find(string.rep('x', 400) .. '[[a]]', '%[(=*)%[(.-)%]%1%]')",
            ":401|",
        ),
        (
            "local t = {} for i=1,9000 do t[i] = 9001 - i end table.sort(t) return {t[1], t[2], t[9000]}",
            "*3|:1|:2|:9000|",
        ),
    ] {
        check(body, expect);
    }
    check(
        "return string.find('a', '[')",
        "-ERR user_script:1: malformed pattern (missing ']') script: SHA, on @user_script:1.|",
    );
    check(
        "return string.gsub(nil, 'a')",
        "-ERR user_script:1: bad argument #1 to 'gsub' (string expected, got nil) script: SHA, on @user_script:1.|",
    );
}

#[test]
fn the_sandbox_has_no_way_out() {
    for body in [
        "return loadfile",
        "return dofile('/etc/passwd')",
        "return require('os')",
        "return io.open('/etc/passwd')",
        "return os.execute('id')",
        "return debug.getregistry()",
        "return package.loadlib",
        "return newproxy(true)",
        "return getfenv(0)",
        "setfenv(1, {})",
        "return module",
        "_G.redis = 1",
        "redis.call = nil",
        "getmetatable(_G).__index = nil",
        "getmetatable('').__index = nil",
        "string.format = nil",
        "return loadstring('\\27Lua')()",
        "return loadstring(string.dump(function() end))()",
        "return load(function() return nil end)().x",
        "rawset(string, 'x', 1)",
        "setmetatable(string, {})",
        "local t = setmetatable({}, {__gc = function() a = 1 end}) t = nil collectgarbage() b = 1",
        "return coroutine.wrap(function() x = 1 end)()",
        "return string.rep('x', -1):rep(1e308):rep(1e308) + {}",
        "return unpack({}, 1, 1e8)",
        "return unpack({}, -2^31, 2^31-1)",
        "return select(-1)",
        "return string.format('%99999d', 1)",
        "return table.concat({}, 'x', 1, 2^31-1)",
        "return struct.unpack('I33', 'x')",
        "return struct.pack('I' .. string.rep('9', 100), 1)",
        "return cmsgpack.unpack(string.rep('\\145', 1e6))",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "return cjson.decode(string.rep('[', 1e6))",
        "local t = {} t[1] = t return cjson.encode(t)",
    ] {
        let reply = run(body);
        assert!(reply.starts_with('-'), "{body}: {reply}");
    }
    // What is deep but no error ends with one inside.
    assert!(run("local t = {} t[1] = t return t").contains("-ERR reached lua stack limit"));
    assert!(run("local s = string.rep('(', 200) return s:find(s)").starts_with('-'));
}

#[test]
fn a_script_that_is_given_up_while_it_writes_its_reply_leaves_a_machine_that_runs() {
    let wide =
        b"local t, u = {}, {} for i = 1, 1000 do t[i] = 1 end for i = 1, 1000 do u[i] = t end return u";
    let mut machine = Machine::default();
    let (reply, _) = run_on(&mut machine, wide, (100_000, false));
    assert!(reply.contains("used up the instructions"), "{reply}");
    assert_eq!(run_on(&mut machine, b"return 1", (1000, false)).0, ":1|");
    // Left between two slices of its reply, and then forgotten.
    let script = Script {
        body: wide,
        keys: &[],
        arguments: &[],
        sha1: &sha1_hex(wide),
        seed: 7,
        is_resp3: false,
    };
    for slices in 1..40 {
        machine.begin(&script, LIMITS).expect("it compiles");
        for _ in 0..slices {
            assert_ne!(machine.resume(20_000, &mut 0), Progress::Done);
        }
    }
    assert_eq!(run_on(&mut machine, b"return 2", (1000, false)).0, ":2|");
}

#[test]
fn what_a_library_says_of_its_functions_has_a_bound() {
    let body = "local d = string.rep('x', 100000) for i = 1, 1e9 do redis.register_function{function_name='f'..i, \
                description=d, callback=redis.log} end";
    let error = load(body).expect_err("string is no library while one is loaded");
    assert!(error.contains("nonexistent global variable 'string'"), "{error}");
    let long = "x".repeat(100_000);
    let body = format!(
        "local d = '{long}' local i = 0 while true do i = i + 1 redis.register_function{{function_name='f'..i, \
         description=d, callback=redis.log}} end"
    );
    let error = load(&body).expect_err("it registers without end");
    assert!(
        error.contains("names and descriptions of a library are too long"),
        "{error}"
    );
}

/// Loads a library; what it registers, or the error.
fn load(body: &str) -> Result<Vec<Registered>, String> {
    let mut machine = Machine::default();
    let text = |error: Vec<u8>| String::from_utf8_lossy(&error).trim_end().to_owned();
    machine
        .begin_library(b"lib", body.as_bytes(), LIMITS)
        .map_err(text)?;
    while machine.resume(1_000_000, &mut 0) != Progress::Done {}
    let reply = machine.reply();
    match reply.is_empty() {
        true => Ok(machine.registered()),
        false => Err(text(reply)),
    }
}

/// Calls a function of a library in slices.
fn call(machine: &mut Machine, body: &str, name: &str) -> String {
    let function = FunctionCall {
        body: body.as_bytes(),
        name: name.as_bytes(),
        keys: &[b"k1"],
        arguments: &[b"a1", b"a2"],
        seed: 7,
        is_resp3: false,
    };
    if let Err(error) = machine.begin_function(&function, LIMITS) {
        return String::from_utf8_lossy(&error).into_owned();
    }
    loop {
        match machine.resume(10_000, &mut 0) {
            Progress::Paused => {}
            Progress::Call(_) => *machine.answer() = echo(machine),
            Progress::Done => return String::from_utf8_lossy(&machine.reply()).replace("\r\n", "|"),
        }
    }
}

#[test]
fn a_library_says_what_it_registers() {
    let found = load(
        "\nredis.register_function('one', function() end)\n\
         redis.register_function{function_name='Two', callback=function() end, description='d', \
         flags={'allow-oom','no-writes'}}",
    );
    let two = Registered {
        name: b"Two".to_vec(),
        description: Some(b"d".to_vec()),
        flags: 0b11,
    };
    assert_eq!(FUNCTION_FLAGS[..2], ["no-writes", "allow-oom"]);
    let one = Registered {
        name: b"one".to_vec(),
        ..Registered::default()
    };
    assert_eq!(found, Ok(vec![one, two]));
}

#[test]
fn what_a_library_may_not_do_while_it_is_loaded_is_refused() {
    for (body, expect) in [
        (
            "redis.register_function()",
            "wrong number of arguments to redis.register_function",
        ),
        (
            "redis.register_function('a b', function() end)",
            "Library names can only contain letters",
        ),
        (
            "redis.register_function('f', 1)",
            "second argument to redis.register_function must be a function",
        ),
        (
            "redis.register_function('f', function() end) redis.register_function('F', function() end)",
            "Function already exists in the library",
        ),
        (
            "redis.register_function{[{}]=1}",
            "named argument key given to redis.register_function is not a string",
        ),
        (
            "redis.register_function{x=1}",
            "unknown argument given to redis.register_function",
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags={'x'}}",
            "unknown flag given",
        ),
        ("redis.call('get', 'k')", "nonexistent global variable 'call'"),
        ("return math.random()", "nonexistent global variable 'math'"),
        ("a = 1", "Attempt to modify a readonly table"),
        ("redis.x = 1", "Attempt to modify a readonly table"),
        (
            "while true do end",
            "ERR Error registering functions: ERR FUNCTION LOAD timeout",
        ),
        ("no script", "ERR Error compiling function: user_function:1:"),
    ] {
        let error = load(body).expect_err(body);
        assert!(error.contains(expect), "{body}: {error}");
    }
}

#[test]
fn a_function_is_given_keys_and_arguments_and_nothing_of_earlier_calls() {
    let body = "\nlocal n = 0\nlocal lib = redis\n\
        local function both(keys, args) n = n + 1 return {n, keys[1], args[2]} end\n\
        redis.register_function('f', both)\n\
        redis.register_function('g', function(k) return redis.call('x', k[1]) end)\n\
        redis.register_function('h', function() return KEYS end)\n\
        redis.register_function('i', function() lib.register_function('j', both) end)\n\
        redis.register_function('k', function() return redis.register_function end)\n\
        redis.register_function('l', function() return math.floor(1.5) end)\n\
        redis.register_function('m', function() while true do end end)";
    let mut machine = Machine::default();
    for _ in 0..2 {
        assert_eq!(call(&mut machine, body, "F"), "*3|:1|$2|k1|$2|a2|");
    }
    assert_eq!(call(&mut machine, body, "g"), "*2|$1|x|$2|k1|");
    assert_eq!(call(&mut machine, body, "l"), ":1|");
    assert_eq!(call(&mut machine, body, "k"), "$-1|");
    for (name, expect) in [
        (
            "h",
            "nonexistent global variable 'KEYS' script: h, on @user_function:7.",
        ),
        (
            "i",
            "ERR redis.register_function can only be called on FUNCTION LOAD command script: i",
        ),
        (
            "m",
            "the script has used up the instructions that one may execute script: m, on @user_function:",
        ),
    ] {
        let reply = call(&mut machine, body, name);
        assert!(reply.contains(expect), "{name}: {reply}");
    }
    // A script afterwards is one as ever.
    assert_eq!(
        run_on(
            &mut machine,
            b"return {KEYS[1], ARGV[1], redis.register_function}",
            (1000, false)
        )
        .0,
        "*2|$2|k1|$2|a1|"
    );
}

#[test]
fn a_text_that_was_compiled_before_does_the_same_at_the_same_cost() {
    let text = b"local t, u = {}, {} t[u] = 1 t[t] = 2 local s = '' for k, v in pairs(t) do s = s .. tostring(k) .. v end \
        return {s, ARGV[1], redis.call('x', KEYS[2]), collectgarbage('count')}";
    let expect = run_on(&mut Machine::default(), text, (1 << 40, false));
    let mut machine = Machine::default();
    for round in 0..200 {
        assert_eq!(run_on(&mut machine, text, (1 << 40, false)), expect, "{round}");
        let other = format!("local l = {{}} for i = 1, {round} do l[i] = KEYS[1] .. i end return #l");
        let count = format!(":{round}|");
        assert_eq!(run_on(&mut machine, other.as_bytes(), (1 << 40, false)).0, count);
        // More than a machine keeps: the text has to be compiled again.
        let long = format!("--{}\nreturn {round}", "x".repeat(round * 5000));
        assert_eq!(run_on(&mut machine, long.as_bytes(), (1 << 40, false)).0, count);
    }
}
