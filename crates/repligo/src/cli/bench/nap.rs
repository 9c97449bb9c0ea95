//! Waiting for sockets with the precision that a schedule of many thousand requests per second needs.
//!
//! mio waits in whole milliseconds. An epoll instance is itself a descriptor that can be waited for, and `ppoll`
//! counts nanoseconds; so a nap is `ppoll` on it, followed by a look that does not wait.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use mio::{Events, Poll};

/// Lets this thread's waits end when they are over, instead of up to 50 µs later.
pub fn be_punctual() {
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Waits for events, at most for this long.
///
/// # Errors
/// From the system; an interruption by a signal is none.
pub fn wait(poll: &mut Poll, events: &mut Events, at_most: Duration) -> std::io::Result<()> {
    let is_coarse = at_most.subsec_nanos().is_multiple_of(1_000_000);
    if !is_coarse {
        let mut waiting = libc::pollfd {
            fd: poll.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let limit = libc::timespec {
            tv_sec: at_most.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(at_most.subsec_nanos() as i32),
        };
        // SAFETY: the pointers are to live values on this stack, the count is 1, and no signal mask is given. Errors need
        // no care: the look below finds what there is.
        unsafe { libc::ppoll(&mut waiting, 1, &limit, std::ptr::null()) };
    }
    let timeout = if is_coarse { at_most } else { Duration::ZERO };
    match poll.poll(events, Some(timeout)) {
        Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn naps_are_shorter_than_a_millisecond() {
        be_punctual();
        let (mut poll, mut events) = (Poll::new().expect("epoll"), Events::with_capacity(8));
        // The best of many: a busy machine may oversleep any one of them.
        let nap = |poll: &mut Poll, events: &mut Events| {
            let start = Instant::now();
            wait(poll, events, Duration::from_nanos(100_001)).expect("waits");
            start.elapsed()
        };
        let best = (0..200).map(|_| nap(&mut poll, &mut events)).min().expect("some");
        assert!(
            best >= Duration::from_micros(100) && best < Duration::from_micros(900),
            "{best:?}"
        );
    }
}
