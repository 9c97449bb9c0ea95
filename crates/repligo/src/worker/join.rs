//! How a node with an empty directory becomes a member: it asks any node of the cluster, over a peer stream of its
//! own, until it is told its number.
//!
//! Nothing is decided here: who may come in is the leader's answer, and that somebody is in says the log.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Thread;
use crate::net::greeting;
use crate::net::join::{JoinAnswer, JoinRequest};

const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(300);

/// Asks the nodes at these addresses, and whomever they name, until one of them says that this node is a member,
/// or the node has become part of a cluster without it.
pub async fn join(thread: Rc<Thread>, addresses: Vec<String>) {
    let mut told = String::new();
    loop {
        let mut leader = None;
        for address in &addresses {
            match ask_and_take(&thread, address, &mut told).await {
                Progress::Done => return,
                Progress::Again => {}
                Progress::Ask(address) => leader = Some(address),
            }
        }
        if let Some(address) = leader
            && let Progress::Done = ask_and_take(&thread, &address, &mut told).await
        {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Progress {
    Done,
    Again,
    Ask(String),
}

async fn ask_and_take(thread: &Rc<Thread>, address: &str, told: &mut String) -> Progress {
    let request = thread.worker.borrow().join_request();
    let Some(request) = request else {
        return Progress::Done;
    };
    match timeout(PATIENCE, ask(thread, address, &request)).await {
        Ok(Ok(JoinAnswer::Admitted(admission))) => {
            thread.worker.borrow_mut().admitted(&admission);
            Progress::Done
        }
        Ok(Ok(JoinAnswer::Ask(address))) => Progress::Ask(address),
        Ok(Ok(JoinAnswer::Wait(text))) => {
            if *told != text {
                tracing::info!(asked = %address, "waiting to be admitted: {text}");
                *told = text;
            }
            Progress::Again
        }
        Ok(Err(text)) if *told != text => {
            tracing::info!(asked = %address, "cannot ask to be admitted: {text}");
            *told = text;
            Progress::Again
        }
        Ok(Err(_)) | Err(_) => Progress::Again,
    }
}

/// Every failure is passing: the next attempt comes soon.
async fn ask(thread: &Rc<Thread>, address: &str, request: &JoinRequest) -> Result<JoinAnswer, String> {
    let failed = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    let answer = greeting::ask_to_join(&**thread, stream, &request.encode()).await;
    let answer = answer.map_err(|refusal| refusal.text)?;
    JoinAnswer::decode(&answer).map_err(|_| "the answer cannot be read".to_owned())
}
