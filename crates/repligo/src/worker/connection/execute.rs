//! Executing what a connection has read, and keeping what is left of it.
//!
//! Invariant: the bytes of a request that has to wait stay where they are, with all behind them.

use repligo_core::time::Now;
use repligo_session::window::Window;

use super::Connection;
use crate::worker::Worker;
use crate::worker::gather::Gathering;
use crate::worker::host::WorkerHost;

impl Connection {
    /// Executes what was gathered from this connection, and keeps what is incomplete.
    pub fn execute_gathered(&mut self, bytes: &[u8], with: (&mut Window, Now), worker: &mut Worker) {
        let now = with.1;
        self.io.gathered = false;
        let consumed = self.execute(bytes, with, worker);
        if consumed < bytes.len() {
            self.io.input = worker.pool.take();
            self.io.input.extend_from_slice(&bytes[consumed..]);
            self.io.input_us = now.mono_us;
        }
        worker.flush_after_turn(self);
    }

    /// Executes the buffered input and gives the buffer back when it is used up. `came_us` is when it came, by the
    /// clock in microseconds, unless that was just now.
    pub(super) fn execute_input(
        &mut self,
        worker: &mut Worker,
        gathering: &mut Gathering,
        came_us: Option<u64>,
    ) {
        let now_us = worker.clock.now().mono_us;
        let came_us = came_us.unwrap_or(now_us);
        self.session.set_stood(now_us.saturating_sub(came_us));
        let input = std::mem::take(&mut self.io.input);
        let start = self.io.input_start;
        let consumed = gathering.execute_alone(self, &input[start..], worker);
        self.session.set_stood(0);
        let io = &mut self.io;
        io.input_us = came_us;
        io.input = input;
        io.input_start = start + consumed;
        if io.input_start == io.input.len() {
            io.input_start = 0;
            worker.give_back(std::mem::take(&mut io.input));
        } else if io.input_start > io.input.len() / 2 {
            io.input.drain(..io.input_start);
            io.input_start = 0;
        }
    }

    /// Executes the complete requests at the start of `bytes`; returns how many bytes they took. The
    /// clock was sampled after their bytes were read.
    pub fn execute(&mut self, bytes: &[u8], (window, now): (&mut Window, Now), worker: &mut Worker) -> usize {
        let io = &self.io;
        self.session
            .receive(&mut WorkerHost { worker, io, now }, window, bytes)
    }

    /// As [`Connection::execute`], for bytes that were kept.
    pub fn execute_kept(
        &mut self,
        bytes: &[u8],
        (window, now): (&mut Window, Now),
        worker: &mut Worker,
    ) -> usize {
        let io = &self.io;
        self.session
            .receive_kept(&mut WorkerHost { worker, io, now }, window, bytes)
    }
}
