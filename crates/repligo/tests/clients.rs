//! Rust's client libraries, redis-rs and fred, with their default handshakes and in both protocols, against
//! the leader of three real nodes and through a follower.
//!
//! Other clients are driven by `tests/clients`; what replies mean to the byte is judged elsewhere. The two
//! libraries are dependencies of this test alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, KeysInterface, TransactionInterface};
use fred::types::config::Config;
use fred::types::{Builder, Expiration, RespVersion, SetOptions, Value};
use redis::Commands;

/// For everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `repligo dev` with three nodes; ends with the value.
struct Cluster {
    dev: Child,
    dir: PathBuf,
    addresses: Vec<String>,
}

impl Cluster {
    fn start(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("repligo-clients-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let dev = Command::new(env!("CARGO_BIN_EXE_repligo"))
            .args(["dev", "--nodes", "3", "--base-port", "0", "--dir"])
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut cluster = Self {
            dev,
            dir,
            addresses: Vec::new(),
        };
        let file = cluster.dir.join("cluster.json");
        wait_until("the nodes are ready", || file.exists());
        let text = std::fs::read(&file).expect("cluster.json");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let nodes = json["nodes"].as_array().expect("a list");
        cluster.addresses = nodes
            .iter()
            .map(|node| node["resp"].as_str().expect("an address").to_owned())
            .collect();
        cluster
    }

    /// The leader's address and a follower's.
    fn leader_and_follower(&self) -> [String; 2] {
        let mut leader = None;
        wait_until("a node leads", || {
            leader = self.addresses.iter().find(|address| leads(address)).cloned();
            leader.is_some()
        });
        let leader = leader.expect("it was found");
        let follower = self.addresses.iter().find(|address| **address != leader);
        [leader, follower.expect("there are three").clone()]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: a signal to our own child, which has not been waited for.
        unsafe { libc::kill(self.dev.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.dev.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn wait_until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn leads(address: &str) -> bool {
    let Ok(client) = redis::Client::open(format!("redis://{address}")) else {
        return false;
    };
    let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_secs(2)) else {
        return false;
    };
    let role: redis::RedisResult<Vec<redis::Value>> = redis::cmd("ROLE").query(&mut connection);
    role.is_ok_and(|role| role.len() == 3)
}

#[test]
fn redis_rs_works_on_a_leader_and_a_follower() {
    let cluster = Cluster::start("redis-rs");
    for address in cluster.leader_and_follower() {
        for query in ["", "?protocol=resp2", "?protocol=resp3"] {
            let url = format!("redis://{address}/{query}");
            let client = redis::Client::open(url.as_str()).expect("a valid address");
            let mut connection = client.get_connection().expect("a connection");
            connection.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            let _: () = redis::cmd("FLUSHALL").query(&mut connection).expect("flushed");
            redis_rs_values(&mut connection);
            redis_rs_transactions(&mut connection, &client);
            redis_rs_scan(&mut connection);
        }
        redis_rs_async(&address);
    }
}

fn redis_rs_values(connection: &mut redis::Connection) {
    let _: () = connection.set("k", "v").expect("SET");
    assert_eq!(connection.get("k"), Ok(Some("v".to_owned())));
    assert_eq!(connection.get("absent"), Ok(None::<String>));
    let options = redis::SetOptions::default()
        .conditional_set(redis::ExistenceCheck::NX)
        .with_expiration(redis::SetExpiry::EX(100));
    assert_eq!(connection.set_options("k", "w", options), Ok(None::<String>));
    assert_eq!(connection.expire("k", 100), Ok(true));
    let ttl: i64 = connection.ttl("k").expect("TTL");
    assert!((90..=100).contains(&ttl), "{ttl}");
    assert_eq!(connection.incr("n", 41), Ok(41));
    assert_eq!(connection.incr("n", 0.5), Ok("41.5".to_owned()));
    let _: () = connection.mset(&[("a", 1), ("b", 2)]).expect("MSET");
    let many: Vec<Option<i32>> = connection.mget(&["a", "x", "b"]).expect("MGET");
    assert_eq!(many, [Some(1), None, Some(2)]);
    let bytes: Vec<u8> = (0..=255).collect();
    let _: () = connection.set(&bytes, &bytes).expect("SET of bytes");
    assert_eq!(connection.get(&bytes), Ok(bytes));
    assert_eq!(connection.del(&["a", "b", "x"]), Ok(2));
    let wrong: redis::RedisResult<i64> = connection.incr("k", 1);
    let wrong = wrong.expect_err("no integer");
    assert!(wrong.to_string().contains("not an integer"), "{wrong}");
    let unknown: redis::RedisResult<()> = redis::cmd("NOTHING").query(connection);
    assert!(unknown.is_err());
    let info: redis::InfoDict = redis::cmd("INFO").query(connection).expect("INFO");
    assert_eq!(info.get("redis_mode"), Some("standalone".to_owned()));
}

fn redis_rs_transactions(connection: &mut redis::Connection, client: &redis::Client) {
    let mut pipeline = redis::pipe();
    for number in 0..200 {
        pipeline
            .set(format!("p{number}"), number)
            .ignore()
            .get(format!("p{number}"));
    }
    let numbers: Vec<i32> = pipeline.query(connection).expect("a pipeline");
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let atomic: (i64, i64) = redis::pipe()
        .atomic()
        .set("t", 1)
        .ignore()
        .incr("t", 1)
        .incr("t", 1)
        .query(connection)
        .expect("a transaction");
    assert_eq!(atomic, (2, 3));
    let mut other = client.get_connection().expect("a connection");
    let mut rounds = 0;
    let (sum,): (i64,) = redis::transaction(connection, &["t"], |connection, pipeline| {
        rounds += 1;
        let seen: i64 = redis::cmd("GET").arg("t").query(connection)?;
        if rounds == 1 {
            // Somebody else is faster, so the first round must fail.
            redis::cmd("SET").arg("t").arg(10).exec(&mut other)?;
        }
        pipeline.set("t", seen + 1).ignore().get("t").query(connection)
    })
    .expect("the second round");
    assert_eq!((sum, rounds), (11, 2));
}

fn redis_rs_scan(connection: &mut redis::Connection) {
    let pairs: Vec<(String, i32)> = (0..300)
        .map(|number| (format!("user:{number}"), number))
        .collect();
    let _: () = connection.mset(&pairs).expect("MSET");
    let found: redis::RedisResult<Vec<String>> = connection.scan_match("user:*").expect("SCAN").collect();
    let mut found = found.expect("keys");
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 300);
}

fn redis_rs_async(address: &str) {
    use redis::AsyncCommands;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let work = async {
        let client = redis::Client::open(format!("redis://{address}/?protocol=resp3")).expect("valid");
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("connected");
        let mut tasks = Vec::new();
        for task in 0..20 {
            let mut connection = connection.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..10 {
                    let _: i64 = connection
                        .incr(format!("async{}", task % 4), 1)
                        .await
                        .expect("INCR");
                }
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        let mut connection = connection;
        let sums: Vec<i64> = connection
            .mget(&["async0", "async1", "async2", "async3"])
            .await
            .expect("MGET");
        assert_eq!(sums, [50, 50, 50, 50]);
        let _: () = connection
            .del(&["async0", "async1", "async2", "async3"])
            .await
            .expect("DEL");
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .expect("in time");
}

#[test]
fn fred_works_on_a_leader_and_a_follower() {
    let cluster = Cluster::start("fred");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for address in cluster.leader_and_follower() {
        for version in [RespVersion::RESP2, RespVersion::RESP3] {
            let mut config = Config::from_url(&format!("redis://{address}")).expect("a valid address");
            config.version = version;
            let client = Builder::from_config(config).build().expect("a client");
            let work = async {
                client.init().await.expect("connected");
                fred_values(&client).await.expect("values");
                fred_groups(&client).await.expect("pipelines and transactions");
                client.quit().await.expect("QUIT");
            };
            runtime
                .block_on(async { tokio::time::timeout(PATIENCE, work).await })
                .expect("in time");
        }
    }
}

async fn fred_values(client: &fred::clients::Client) -> Result<(), fred::error::Error> {
    let () = client.flushall(false).await?;
    let () = client.set("k", "v", None, None, false).await?;
    assert_eq!(client.get::<Option<String>, _>("k").await?, Some("v".to_owned()));
    assert_eq!(client.get::<Option<String>, _>("absent").await?, None);
    let expiry = Some(Expiration::EX(100));
    let refused: Option<String> = client.set("k", "w", expiry, Some(SetOptions::NX), false).await?;
    assert_eq!(refused, None);
    let old: Option<String> = client
        .set("k", "w", Some(Expiration::EX(100)), Some(SetOptions::XX), true)
        .await?;
    assert_eq!(old, Some("v".to_owned()));
    let ttl: i64 = client.ttl("k").await?;
    assert!((90..=100).contains(&ttl), "{ttl}");
    assert_eq!(client.incr_by::<i64, _>("n", 41).await?, 41);
    let () = client.mset(vec![("a", 1), ("b", 2)]).await?;
    let many: Vec<Option<i64>> = client.mget(vec!["a", "x", "b"]).await?;
    assert_eq!(many, [Some(1), None, Some(2)]);
    assert_eq!(client.del::<i64, _>(vec!["a", "b", "x"]).await?, 2);
    let wrong = client.incr::<i64, _>("k").await.expect_err("no integer");
    assert!(wrong.details().contains("not an integer"), "{wrong}");
    Ok(())
}

async fn fred_groups(client: &fred::clients::Client) -> Result<(), fred::error::Error> {
    let pipeline = client.pipeline();
    for number in 0..100 {
        let queued: Value = pipeline.incr_by("sum", number).await?;
        assert!(queued.is_queued());
    }
    let sums: Vec<i64> = pipeline.all().await?;
    assert_eq!(sums.last(), Some(&4950));
    let transaction = client.multi();
    let () = transaction.set("t", 1, None, None, false).await?;
    let () = transaction.incr("t").await?;
    let () = transaction.get("t").await?;
    let (set, incremented, got): (String, i64, i64) = transaction.exec(true).await?;
    assert_eq!((set.as_str(), incremented, got), ("OK", 2, 2));
    Ok(())
}
