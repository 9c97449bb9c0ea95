//! Accepts clients and runs a task for each.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use repligo_proto::words;
use tokio::net::{TcpListener, UnixListener};

use super::Thread;
use crate::net::options;
use crate::net::stream::ClientStream;
use crate::net::tls_listener::Admit;
use crate::session::Endpoints;

/// Pause after an error that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients over TCP until the task is aborted.
pub async fn accept_clients(thread: Rc<Thread>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let local = stream.local_addr();
                if let (Ok(()), Ok(local)) = (options::for_client(&stream), local) {
                    admit(
                        &thread,
                        ClientStream::Tcp(stream),
                        Endpoints::Internet { peer, local },
                    );
                }
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Accepts clients through a socket file until the task is aborted.
pub async fn accept_local_clients(thread: Rc<Thread>, listener: UnixListener, path: Rc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&thread, ClientStream::Unix(stream), Endpoints::Unix(path.clone())),
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a client; if these are too many open files, raise ulimit -n");
    tokio::time::sleep(PAUSE).await;
}

/// Admits clients whose connections somebody else has accepted.
pub fn admission(thread: &Rc<Thread>) -> Admit {
    let thread = thread.clone();
    Rc::new(move |stream, endpoints| admit(&thread, stream, endpoints))
}

fn admit(thread: &Rc<Thread>, mut stream: ClientStream, endpoints: Endpoints) {
    let mut worker = thread.worker.borrow_mut();
    if worker.connections.len() >= worker.parameters.maxclients() && !worker.make_way() {
        worker.shared.metrics.connections_rejected.add(1);
        refuse(&mut stream);
        return;
    }
    let slot = worker.open_connection(Some(stream), endpoints);
    worker.place(slot);
    drop(worker);
    tokio::task::spawn_local(ConnectionTask {
        thread: thread.clone(),
        slot,
    });
}

/// Tells a client that there is no room for it. A fresh socket takes a line without waiting; should it not,
/// the client sees the end of the stream.
fn refuse(stream: &mut ClientStream) {
    let _ = stream.try_write(format!("-{}\r\n", words::TOO_MANY_CLIENTS).as_bytes());
}

/// Drives one connection until it is over.
struct ConnectionTask {
    thread: Rc<Thread>,
    slot: u32,
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let worker = &mut *self.thread.worker.borrow_mut();
        let gathering = &mut *self.thread.gathering.borrow_mut();
        let Some(mut connection) = worker.connections.take(self.slot) else {
            return Poll::Ready(());
        };
        match connection.poll(cx, worker, gathering) {
            Poll::Pending => {
                worker.connections.put_back(connection);
                Poll::Pending
            }
            Poll::Ready(()) => {
                worker.close_connection(connection);
                Poll::Ready(())
            }
        }
    }
}
