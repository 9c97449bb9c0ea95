//! When requests of an open loop are due. The schedule knows nothing of what was sent or answered, which is
//! what keeps a slow server from slowing down its own examination.
//!
//! Each client has a schedule of its own, as an independent user has; together they make an even stream. When a
//! client is busy or cut off, its requests wait, and their latency counts from when they were due.

/// An even stream, dealt out to clients in turn.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    clients: u64,
    interval_ns: f64,
}

impl Schedule {
    /// `rate` requests per second of all `clients` together.
    pub fn new(rate: f64, clients: u32) -> Schedule {
        Schedule {
            clients: u64::from(clients),
            interval_ns: 1e9 / rate,
        }
    }

    /// When the `nth` request (from 0) of `client` (from 0) is due, in nanoseconds since the run began.
    pub fn due_ns(&self, client: u64, nth: u64) -> u64 {
        self.at_ns(nth * self.clients + client)
    }

    /// When the request with this number (from 0) among those of all clients is due.
    pub fn at_ns(&self, number: u64) -> u64 {
        (number as f64 * self.interval_ns) as u64
    }

    /// Requests that are due within so many seconds.
    pub fn count(&self, seconds: f64) -> u64 {
        (seconds * 1e9 / self.interval_ns).round() as u64
    }
}

/// Releases the requests of some clients when they are due, in the order in which they are.
#[derive(Debug)]
pub struct Releases {
    schedule: Schedule,
    first: u64,
    count: u64,
    turn: u64,
    nth: u64,
    end_ns: u64,
}

impl Releases {
    /// For clients `first..first + count`, up to requests that are due at `end_ns`.
    pub fn new(schedule: Schedule, first: u64, count: u64, end_ns: u64) -> Releases {
        Releases {
            schedule,
            first,
            count,
            turn: 0,
            nth: 0,
            end_ns,
        }
    }

    /// When the next request is due; `None` when there is none before the end.
    pub fn next_ns(&self) -> Option<u64> {
        let due = self.schedule.due_ns(self.first + self.turn, self.nth);
        (due < self.end_ns).then_some(due)
    }

    /// The position (from 0) of a client of ours whose next request is due by now.
    pub fn release(&mut self, now_ns: u64) -> Option<usize> {
        if self.next_ns()? > now_ns {
            return None;
        }
        let client = self.turn;
        self.turn += 1;
        if self.turn == self.count {
            self.turn = 0;
            self.nth += 1;
        }
        Some(client as usize)
    }

    /// No request that is not due by now will ever be.
    pub fn stop(&mut self, now_ns: u64) {
        self.end_ns = self.end_ns.min(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_an_even_stream() {
        let schedule = Schedule::new(1000.0, 4);
        let mut all: Vec<u64> = (0..4)
            .flat_map(|client| (0..3).map(move |nth| schedule.due_ns(client, nth)))
            .collect();
        all.sort_unstable();
        let expected: Vec<u64> = (0..12).map(|position| position * 1_000_000).collect();
        assert_eq!(all, expected);
        assert_eq!(schedule.at_ns(500), 500_000_000);
        assert_eq!(schedule.count(1.5), 1500);
    }

    #[test]
    fn releases_are_due_in_order_whoever_is_slow() {
        // The second of two threads: clients 2, 3 and 4 of five.
        let mut releases = Releases::new(Schedule::new(1000.0, 5), 2, 3, 20_000_000);
        assert_eq!(releases.release(1_999_999), None);
        assert_eq!(releases.next_ns(), Some(2_000_000));
        // Waking up late releases everything that has become due, once.
        let released: Vec<usize> = std::iter::from_fn(|| releases.release(8_000_000)).collect();
        assert_eq!(released, [0, 1, 2, 0, 1]);
        let rest: Vec<usize> = std::iter::from_fn(|| releases.release(u64::MAX)).collect();
        assert_eq!(rest.len(), 12 - 5, "4 rounds of 5 requests fit into 20 ms");
        assert_eq!(releases.next_ns(), None);
    }
}
