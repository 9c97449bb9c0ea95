//! Connections whose handshake is not over: few, and the oldest makes way for the newest.
//!
//! An honest handshake takes milliseconds. Whoever opens many and completes none pushes out his own first,
//! so he keeps nobody else out, and takes no more descriptors than there are places.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;

use tokio::task::AbortHandle;

/// The places; see the module. Clones share them.
#[derive(Clone, Debug)]
pub struct HalfOpen {
    max: usize,
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: VecDeque<(u64, AbortHandle)>,
    next: u64,
    dropped: u64,
}

/// One place, free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    inner: Rc<RefCell<Inner>>,
}

impl HalfOpen {
    /// So many places.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            inner: Rc::default(),
        }
    }

    /// Runs what `begin` makes as a task. It has a place until it drops it, and may be aborted until then. If another
    /// makes way for it, this ends when that one's descriptor is closed: the task of an accepting loop is given
    /// many connections in one turn, and what is aborted is dropped in a turn of its own.
    pub async fn spawn<F: Future<Output = ()> + 'static>(&self, begin: impl FnOnce(Place) -> F) {
        let id = {
            let mut inner = self.inner.borrow_mut();
            inner.next += 1;
            inner.next
        };
        let place = Place {
            id,
            inner: self.inner.clone(),
        };
        let task = tokio::task::spawn_local(begin(place)).abort_handle();
        let oldest = {
            let mut inner = self.inner.borrow_mut();
            inner.tasks.push_back((id, task));
            let is_full = inner.tasks.len() > self.max;
            is_full.then(|| inner.tasks.pop_front()).flatten()
        };
        // Outside of the borrow: aborting may drop the task, and with it its place.
        if let Some((_, task)) = oldest {
            self.inner.borrow_mut().dropped += 1;
            task.abort();
            tokio::task::yield_now().await;
        }
    }

    /// How many have made way since the last call.
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.inner.borrow_mut().dropped)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.borrow_mut().tasks.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_way_and_who_is_through_keeps_its_task() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .expect("a runtime");
        runtime.block_on(async {
            let places = HalfOpen::new(2);
            let alive = Rc::new(());
            for _ in 0..5 {
                let alive = alive.clone();
                let opened = places.spawn(|place| async move {
                    let _held = (place, alive);
                    std::future::pending::<()>().await;
                });
                opened.await;
            }
            let through = alive.clone();
            assert_eq!(
                Rc::strong_count(&alive),
                1 + 2 + 1,
                "who made way is gone already"
            );
            let opened = places.spawn(|place| async move {
                drop(place);
                let _held = through;
                std::future::pending::<()>().await;
            });
            opened.await;
            tokio::task::yield_now().await;
            // The last one made way for itself being in, so one of the two places is free.
            assert_eq!(places.take_dropped(), 4);
            assert_eq!(Rc::strong_count(&alive), 1 + 1 + 1);
            assert_eq!(places.inner.borrow().tasks.len(), 1);
        });
    }
}
