//! Three nodes in this process: forming, forwarding, a planned stop, and directories that must be refused.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use repligo::net::hello::{FEATURE_LEVEL, Hello};
use repligo::node::{NodeConfig, NodeError};
use repligo::tls::keys::{PeerKeys, PeerSource};
use repligo_core::contract::Durability;
use repligo_core::forming::FormingState;
use repligo_core::message::Message;
use repligo_core::origin::OriginMap;
use repligo_proto::frame::{self, Header, Kind};
use repligo_proto::words;
use support::{Client, Pending, Server};

/// A temporary folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("repligo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn node(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// A cluster line with ports that were free a moment ago.
fn cluster_line() -> Vec<(String, String)> {
    let held: Vec<TcpListener> = NAMES
        .iter()
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let address = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|address: SocketAddr| address.to_string())
    };
    let pairs = NAMES.iter().zip(&held);
    pairs
        .map(|(name, listener)| ((*name).to_owned(), address(listener).expect("it is bound")))
        .collect()
}

fn node(name: &str, line: &[(String, String)], dir: &Path) -> impl FnOnce(&mut NodeConfig) + use<> {
    let peer_listen = line.iter().find(|node| node.0 == name).map(|node| node.1.clone());
    let (name, line, dir) = (name.to_owned(), line.to_vec(), dir.to_path_buf());
    let secret = secret_in(dir.parent().expect("a folder of the test"));
    move |config| {
        config.peer_source = Some(PeerSource::Secret(secret));
        config.name = name;
        config.peer_listen = peer_listen.expect("the node is in the line");
        config.cluster = line;
        config.data_dir = dir;
        config.durability = Durability::Os;
    }
}

/// The file with the secret of the clusters in a folder.
fn secret_in(folder: &Path) -> PathBuf {
    let file = folder.join("cluster.secret");
    if !file.exists() {
        repligo::private::write(&file, &"5ec7e7".repeat(11).as_bytes()[..64]).expect("a temporary file");
    }
    file
}

fn start_all(line: &[(String, String)], folder: &Folder) -> Vec<Server> {
    let pending: Vec<Pending> = NAMES
        .iter()
        .map(|name| Server::launch(node(name, line, &folder.node(name))))
        .collect();
    pending.into_iter().map(Pending::ready).collect()
}

fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_leader(client: &mut Client) -> bool {
    client
        .call("ROLE")
        .starts_with(&format!("[{}", words::LEADER_ROLE))
}

#[test]
fn three_nodes_form_forward_and_survive_a_planned_stop_and_a_restart() {
    let folder = Folder::new("form");
    let line = cluster_line();
    let mut servers = start_all(&line, &folder);
    let mut clients: Vec<Client> = servers.iter().map(Server::client).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.call(&format!("SET k{number} v")), "OK");
        assert_eq!(client.call("INCR counter"), format!(":{}", number + 1));
    }
    for client in &mut clients {
        assert_eq!(client.call("MGET k0 k1 k2 counter"), "[v v v 3]");
        assert_eq!(client.call("MULTI"), "OK");
        assert_eq!(client.call("GET k0"), "QUEUED");
        assert_eq!(client.call("PING"), "QUEUED");
        assert_eq!(client.call("EXEC"), "[v PONG]");
    }
    let leader = clients
        .iter_mut()
        .position(is_leader)
        .expect("a leader is known to itself");
    drop(clients.remove(leader));
    servers.remove(leader).stop().expect("a clean stop");
    for client in &mut clients {
        assert_eq!(
            client.call("INCR counter").chars().next(),
            Some(':'),
            "no error during the handover"
        );
    }
    let name = NAMES[leader];
    let back = Server::start(node(name, &line, &folder.node(name)));
    assert_eq!(back.client().call("GET counter"), "5");
    for server in servers {
        server.stop().expect("a clean stop");
    }
    back.stop().expect("a clean stop");
}

#[test]
fn a_cluster_that_is_not_complete_says_whom_it_waits_for() {
    let folder = Folder::new("waits");
    let line = cluster_line();
    let one = Server::launch(node("n1", &line, &folder.node("n1")));
    let two = Server::launch(node("n2", &line, &folder.node("n2")));
    let mut client = one.client();
    eventually("n2 is met", || {
        client.call("GET a") == "-LOADING the cluster is forming, waiting for n3; retry"
    });
    assert!(client.call("REPLIGO.STATUS").contains("\"waiting_for\":[\"n3\"]"));
    let three = Server::launch(node("n3", &line, &folder.node("n3")));
    let servers = [one.ready(), two.ready(), three.ready()];
    eventually("data is served", || client.call("SET a 1") == "OK");
    drop(servers);
}

#[test]
fn a_wiped_node_comes_back_as_a_new_member_and_a_foreign_directory_is_refused() {
    let folder = Folder::new("wiped");
    let line = cluster_line();
    let mut servers = start_all(&line, &folder);
    assert_eq!(servers[0].client().call("SET a 1"), "OK");
    servers.pop().expect("three").stop().expect("a clean stop");
    std::fs::remove_dir_all(folder.node("n3")).expect("wiped");
    let returned = Server::launch(node("n3", &line, &folder.node("n3"))).ready();
    let mut client = returned.client();
    eventually("the new member has what it had lost", || {
        client.call("GET a") == "1"
    });
    assert_eq!(servers[0].client().call("SET a 2"), "OK");
    returned.stop().expect("a clean stop");
    // The directory of another node.
    let error = Server::launch(node("n3", &line, &folder.node("n1"))).failed();
    assert!(matches!(error, NodeError::Disk(_)), "{error}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_before_anything_happens() {
    let folder = Folder::new("settings");
    let line = cluster_line();
    let refused = |change: &dyn Fn(&mut NodeConfig), part: &str| {
        let base = node("n1", &line, &folder.node("never"));
        let error = Server::launch(|config| {
            base(config);
            change(config);
        })
        .failed();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&|config| config.durability = Durability::None, "--durability");
    refused(&|config| config.name = "n9".to_owned(), "--name");
    refused(&|config| config.cluster[1].0 = "n1".to_owned(), "same name");
    assert!(!folder.node("never").exists());
}

/// The first of two nodes, as the second one sees it on the wire.
struct FirstNode {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    input: Vec<u8>,
}

const CLUSTER: u128 = 77;

impl FirstNode {
    fn dial(address: &str, secret: &Path) -> Self {
        let mut stream = TcpStream::connect(address);
        eventually("n2 listens", || {
            if stream.is_err() {
                stream = TcpStream::connect(address);
            }
            stream.is_ok()
        });
        let stream = stream.expect("connected");
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).expect("a socket option");
        let source = PeerSource::Secret(secret.to_owned());
        let keys = PeerKeys::load(&source, "n1", rustls::pki_types::UnixTime::now()).expect("a secret");
        let rustls::Connection::Client(session) = keys.dial().expect("keys that can be used") else {
            unreachable!("it dials")
        };
        Self {
            stream: rustls::StreamOwned::new(session, stream),
            input: Vec::new(),
        }
    }

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            cluster_id: if kind == Kind::HELLO { 0 } else { CLUSTER },
            generation: 1,
            peer: 1,
            incarnation: 1,
            kind,
        };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, &header, payload);
        bytes
    }

    fn hello(forming: FormingState) -> Vec<u8> {
        let hello = Hello {
            feature_level: FEATURE_LEVEL,
            name: "n1".to_owned(),
            client_address: "127.0.0.1:1".to_owned(),
            voters: vec!["n1".to_owned(), "n2".to_owned()],
            origin_fingerprint: OriginMap::default().fingerprint(),
            forming,
        };
        Self::frame(Kind::HELLO, &hello.encode())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// Kind and payload of the next frame.
    fn receive(&mut self) -> (Kind, Vec<u8>) {
        loop {
            if let Some(frame) = frame::decode(&self.input).expect("a frame") {
                let payload = self.input[frame.payload.clone()].to_vec();
                self.input.drain(..frame.encoded_bytes());
                return (frame.header.kind, payload);
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("bytes in time");
            assert!(count > 0, "the link was torn down");
            self.input.extend_from_slice(&buffer[..count]);
        }
    }

    fn receive_forming(&mut self, expect: FormingState) {
        loop {
            let (kind, payload) = self.receive();
            if kind == Kind::HELLO && Hello::decode(&payload).expect("a greeting").forming == expect {
                return;
            }
        }
    }
}

#[test]
fn a_message_right_behind_the_greeting_finds_the_link_open() {
    let folder = Folder::new("greeting");
    let line = cluster_line();
    let address = line[1].1.clone();
    let secret = secret_in(&folder.0);
    let two = Server::launch(node("n2", &line[..2], &folder.node("n2")));
    let mut first = FirstNode::dial(&address, &secret);
    first.send(&FirstNode::hello(FormingState::Empty));
    first.receive_forming(FormingState::Empty);
    first.send(&FirstNode::hello(FormingState::Prepared(CLUSTER)));
    first.receive_forming(FormingState::Formed(CLUSTER));
    drop(first);

    // As after a restart: both are formed, and the one that dials opens the link as soon as it has heard the other.
    let mut first = FirstNode::dial(&address, &secret);
    let mut bytes = FirstNode::hello(FormingState::Formed(CLUSTER));
    bytes.extend(FirstNode::frame(
        Kind::CORE,
        &Message::ReadIndex { context: 1 }.encode(),
    ));
    first.send(&bytes);
    first.receive_forming(FormingState::Formed(CLUSTER));
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        kinds.push(first.receive().0);
    }
    assert!(!kinds.contains(&Kind::REFUSED), "{kinds:?}");
    drop(two);
}
