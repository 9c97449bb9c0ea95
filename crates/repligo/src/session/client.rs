//! CLIENT: who is connected, names, and ending connections.

use std::fmt::Write as _;

use repligo_core::acl::{DEFAULT_USER, User, Users};
use repligo_core::command::parse_i64;
use repligo_core::contract::{ReadLevel, Unblock};
use repligo_core::limits::CLIENT_NAME_BYTES_MAX;
use repligo_core::time::Now;
use repligo_proto::command::{CommandId, with_subcommands};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;
use repligo_session::subscriptions::Kind;
use repligo_session::tracking::Mode;
use repligo_session::{Flow, Multi, Session};

use super::{Client, Local, handshake};

/// CLIENT LIST, INFO, ID, GETNAME, SETNAME.
pub(super) fn describe(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    match local.spec.id {
        CommandId::ClientId => {
            let id = local.session.id as i64;
            local.reply(out).integer(id);
        }
        CommandId::ClientInfo => {
            let mut text = String::new();
            let arguments = request.total_bytes();
            describe_one(&mut text, local.own(), arguments, local.now());
            local.reply(out).verbatim("txt", text.as_bytes());
        }
        CommandId::ClientGetName => {
            let name = local.session.name.clone();
            let mut reply = local.reply(out);
            if name.is_empty() {
                reply.null()
            } else {
                reply.bulk(&name)
            }
        }
        CommandId::ClientSetName => {
            let name = request.get(2);
            match handshake::check_name(name) {
                Ok(()) => {
                    local.session.name = name.into();
                    local.reply(out).ok();
                }
                Err(text) => local.reply(out).error(text),
            }
        }
        _ => list(local, request, out),
    }
}

/// CLIENT SETINFO, NO-EVICT, NO-TOUCH.
pub(super) fn change(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let word = request.get(2);
    match local.spec.id {
        CommandId::ClientSetInfo => set_info(local, word, request.get(3), out),
        id => {
            let on = match word {
                word if word.eq_ignore_ascii_case(b"ON") => true,
                word if word.eq_ignore_ascii_case(b"OFF") => false,
                _ => return local.reply(out).error(words::SYNTAX),
            };
            if id == CommandId::ClientNoEvict {
                local.session.no_evict = on;
            } else {
                local.session.no_touch = on;
            }
            local.reply(out).ok();
        }
    }
}

fn set_info(local: &mut Local<'_>, attribute: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let (name, field) = if attribute.eq_ignore_ascii_case(b"LIB-NAME") {
        ("lib-name", &mut local.session.library_name)
    } else if attribute.eq_ignore_ascii_case(b"LIB-VER") {
        ("lib-ver", &mut local.session.library_version)
    } else {
        let mut text = b"ERR Unrecognized option '".to_vec();
        text.extend_from_slice(attribute);
        text.push(b'\'');
        return local.reply(out).error_bytes(&text);
    };
    if !handshake::is_visible(value) {
        let text = format!("ERR {name} cannot contain spaces, newlines or special characters.");
        return local.reply(out).error(&text);
    }
    if value.len() >= CLIENT_NAME_BYTES_MAX {
        return local.reply(out).error(&format!("ERR {name} is too long."));
    }
    *field = value.into();
    local.reply(out).ok();
}

/// The clients of a type. Nodes talk on another port, so there are two that have any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    /// Subscribers.
    PubSub,
    /// Nodes.
    Nobody,
}

impl ClientType {
    fn named(name: &[u8]) -> Option<Self> {
        let named = [
            ("normal", Self::Normal),
            ("pubsub", Self::PubSub),
            ("replica", Self::Nobody),
            (words::FOLLOWER_ROLE, Self::Nobody),
            (words::LEADER_ROLE, Self::Nobody),
        ];
        let found = named
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(_, client_type)| *client_type)
    }

    fn of(session: &Session) -> Self {
        match session.is_subscribed() {
            true => Self::PubSub,
            false => Self::Normal,
        }
    }
}

fn list(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let options = request.skip(2);
    let mut chosen: Option<Vec<u64>> = None;
    let mut wanted: Option<ClientType> = None;
    match options.try_get(0) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case(b"TYPE") && options.len() == 2 => {
            let Some(named) = ClientType::named(options.get(1)) else {
                return local
                    .reply(out)
                    .error_bytes(&words::unknown_client_type(options.get(1)));
            };
            wanted = Some(named);
        }
        Some(word) if word.eq_ignore_ascii_case(b"ID") && options.len() > 1 => {
            let ids: Option<Vec<i64>> = options.skip(1).iter().map(parse_i64).collect();
            let Some(ids) = ids else {
                return local.reply(out).error(words::INVALID_CLIENT_ID);
            };
            // No client has a negative id, but asking for one is no error.
            chosen = Some(ids.into_iter().filter_map(|id| u64::try_from(id).ok()).collect());
        }
        Some(_) => return local.reply(out).error(words::SYNTAX),
    }
    let now = local.now();
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut see = |client: Client<'_>, arguments| {
        let id = client.session.id;
        let is_wanted = wanted.is_none_or(|wanted| wanted == ClientType::of(client.session));
        if is_wanted && chosen.as_ref().is_none_or(|ids| ids.contains(&id)) {
            let mut line = String::new();
            describe_one(&mut line, client, arguments, now);
            lines.push((id, line));
        }
    };
    let node = &*local.node;
    node.for_each_other(&mut |client| see(client, client.session.arguments_bytes()));
    see(local.own(), request.total_bytes());
    match &chosen {
        Some(ids) => lines.sort_by_key(|(id, _)| ids.iter().position(|asked| asked == id)),
        None => lines.sort_by_key(|(id, _)| *id),
    }
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    local.reply(out).verbatim("txt", text.as_bytes());
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// One line of CLIENT LIST, with the fields of Redis 7.2 in their order; `arguments` are bytes of the
/// arguments that it is executing, or has received of its next request.
pub(super) fn describe_one(line: &mut String, client: Client<'_>, arguments: usize, now: Now) {
    let Client { session, socket } = client;
    let seconds = |since_us: u64| now.mono_us.saturating_sub(since_us) / 1_000_000;
    let (state, end) = match session.multi.as_deref() {
        _ if session.is_monitor() => ("O", ""),
        _ if session.is_subscribed() => ("P", ""),
        Some(multi) if multi.is_open() && session.is_held() => ("xb", ""),
        Some(multi) if multi.is_open() => ("x", ""),
        _ if session.blocked().is_some() && socket.endpoints.is_unix() => ("b", "U"),
        _ if session.blocked().is_some() || session.is_held() => ("b", ""),
        _ if session.closing => ("", "c"),
        _ if socket.endpoints.is_unix() => ("", "U"),
        _ => ("", ""),
    };
    let reads = match session.read_level() {
        ReadLevel::Eventual | ReadLevel::Bounded(_) | ReadLevel::Session(_) => "r",
        ReadLevel::Linearizable => "",
    };
    let flags = match [state, tracking_flags(session), end, reads].concat() {
        flags if flags.is_empty() => "N".to_owned(),
        flags => flags,
    };
    let queued = match session.multi.as_deref() {
        Some(multi) if multi.is_open() => multi.len() as i64,
        _ => -1,
    };
    let (held, free) = (client.input_bytes(), socket.free_bytes);
    let replies = session.replies.memory();
    let multi_bytes = session.multi.as_deref().map_or(0, Multi::bytes);
    let command = session.last_command.map_or("NULL", name_of);
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        "id={id} addr={peer} laddr={own} fd={fd} name={name} age={age} idle={idle} flags={flags} db={db} \
         sub={sub} psub={psub} ssub={ssub} multi={queued} qbuf={held} qbuf-free={free} argv-mem={arguments} \
         multi-mem={multi_bytes} rbs={rbs} rbp={rbp} obl={obl} oll={oll} omem={omem} tot-mem={total} \
         events=r cmd={command} user={user} redir={redirect} resp={resp} lib-name={library} lib-ver={version}",
        id = session.id,
        peer = socket.endpoints.peer(),
        own = socket.endpoints.local(),
        fd = socket.descriptor,
        name = text(&session.name),
        age = seconds(session.connected_us),
        idle = seconds(session.active_us),
        db = session.database,
        sub = session.subscription_count(Kind::Channel),
        psub = session.subscription_count(Kind::Pattern),
        ssub = session.subscription_count(Kind::Shard),
        rbs = replies.buffer_bytes,
        rbp = replies.buffer_peak_bytes,
        obl = replies.sendable_bytes,
        oll = replies.list_length,
        omem = replies.list_bytes,
        total = client.memory_bytes(),
        user = text(user_of(session)),
        redirect = session.redirection(),
        resp = if session.resp3 { 3 } else { 2 },
        library = text(&session.library_name),
        version = text(&session.library_version),
    );
}

/// That it tracks what it has cached, that whom it had named to be told is gone, and that it is told of whole prefixes.
fn tracking_flags(session: &Session) -> &'static str {
    match session.tracker() {
        None => "",
        Some(tracker) => match (tracker.is_broken, tracker.mode == Mode::Broadcast) {
            (false, false) => "t",
            (true, false) => "tR",
            (false, true) => "tB",
            (true, true) => "tRB",
        },
    }
}

/// The name of the user that a connection logged in as, or is asked to.
pub(super) fn user_of(session: &Session) -> &[u8] {
    session.user().map_or(DEFAULT_USER, User::name)
}

fn name_of(id: CommandId) -> &'static str {
    with_subcommands()
        .find(|spec| spec.id == id)
        .map_or("NULL", |spec| spec.name)
}

/// What CLIENT KILL selects; all conditions must hold.
#[derive(Debug, Default)]
struct Selection {
    id: Option<u64>,
    user: Option<Vec<u8>>,
    peer: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    client_type: Option<ClientType>,
    /// Seconds since it came.
    age_min: Option<u64>,
    skip_own: bool,
}

impl Selection {
    fn selects(&self, client: Client<'_>, now: Now) -> bool {
        let age = now.mono_us.saturating_sub(client.session.connected_us) / 1_000_000;
        let same = |wanted: &Option<Vec<u8>>, has: &str| match wanted {
            None => true,
            Some(wanted) => has.as_bytes() == wanted.as_slice(),
        };
        let endpoints = client.socket.endpoints;
        self.client_type
            .is_none_or(|wanted| wanted == ClientType::of(client.session))
            && self.id.is_none_or(|id| id == client.session.id)
            && self
                .user
                .as_ref()
                .is_none_or(|user| user == user_of(client.session))
            && self.age_min.is_none_or(|least| age >= least)
            && same(&self.peer, &endpoints.peer())
            && same(&self.local, &endpoints.local())
    }

    fn parse(options: ArgSlice<'_>, users: &Users) -> Result<Self, Vec<u8>> {
        let mut selection = Self {
            skip_own: true,
            ..Self::default()
        };
        for pair in 0..options.len() / 2 {
            let (name, value) = (options.get(2 * pair), options.get(2 * pair + 1));
            match name.to_ascii_uppercase().as_slice() {
                b"ID" => {
                    let id = parse_i64(value)
                        .and_then(|id| u64::try_from(id).ok())
                        .filter(|id| *id > 0);
                    selection.id = Some(id.ok_or(words::CLIENT_ID_NOT_POSITIVE.as_bytes())?);
                }
                b"TYPE" => {
                    let named = ClientType::named(value).ok_or_else(|| words::unknown_client_type(value))?;
                    selection.client_type = Some(named);
                }
                b"MAXAGE" => {
                    let age = parse_i64(value).ok_or(words::MAX_AGE_NOT_AN_INTEGER.as_bytes())?;
                    let age = u64::try_from(age).ok().filter(|age| *age > 0);
                    selection.age_min = Some(age.ok_or(words::MAX_AGE_NOT_POSITIVE.as_bytes())?);
                }
                b"ADDR" => selection.peer = Some(value.to_vec()),
                b"LADDR" => selection.local = Some(value.to_vec()),
                b"USER" => {
                    if users.get(value).is_none() {
                        return Err([b"ERR No such user '", value, b"'"].concat());
                    }
                    selection.user = Some(value.to_vec());
                }
                b"SKIPME" => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => selection.skip_own = true,
                    b"no" => selection.skip_own = false,
                    _ => return Err(words::SYNTAX.as_bytes().to_vec()),
                },
                _ => return Err(words::SYNTAX.as_bytes().to_vec()),
            }
        }
        Ok(selection)
    }
}

/// CLIENT UNBLOCK number [TIMEOUT|ERROR].
pub(super) fn unblock(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    if request.len() > 4 {
        let text = words::subcommand_syntax("CLIENT", request.get(1));
        return local.reply(out).error_bytes(&text);
    }
    let how = match request.try_get(3) {
        None => Unblock::Nothing,
        Some(word) if word.eq_ignore_ascii_case(b"TIMEOUT") => Unblock::Nothing,
        Some(word) if word.eq_ignore_ascii_case(b"ERROR") => Unblock::Error,
        Some(_) => return local.reply(out).error(words::UNBLOCK_REASON),
    };
    let Some(id) = parse_i64(request.get(2)) else {
        return local.reply(out).error(words::NOT_AN_INTEGER);
    };
    let is_unblocked = u64::try_from(id).is_ok_and(|id| local.node.unblock(id, how));
    local.reply(out).integer(i64::from(is_unblocked));
}

/// CLIENT KILL address, or CLIENT KILL option value….
pub(super) fn kill(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    let options = request.skip(2);
    let old_form = options.len() == 1;
    let selection = if old_form {
        Ok(Selection {
            peer: Some(options.get(0).to_vec()),
            ..Selection::default()
        })
    } else if options.len().is_multiple_of(2) {
        Selection::parse(options, local.node.users())
    } else {
        Err(words::SYNTAX.as_bytes().to_vec())
    };
    let selection = match selection {
        Ok(selection) => selection,
        Err(text) => {
            local.reply(out).error_bytes(&text);
            return Flow::Done;
        }
    };
    let now = local.now();
    let others = local.node.kill_others(&|client| selection.selects(client, now));
    let own = !selection.skip_own && selection.selects(local.own(), now);
    let killed = others as i64 + i64::from(own);
    let mut reply = local.reply(out);
    match (old_form, killed) {
        (true, 0) => reply.error(words::NO_SUCH_CLIENT),
        (true, _) => reply.ok(),
        (false, _) => reply.integer(killed),
    }
    if own { Flow::Close } else { Flow::Done }
}
