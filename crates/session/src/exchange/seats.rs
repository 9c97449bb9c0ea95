//! All connections whose sockets are on one I/O thread: orders are carried out on them, and reports of them gather.

use std::ops::Range;
use std::task::Context;

use super::Socket;
use super::batch::{Address, Batch, Entry, Order, Report};
use super::seat::Seat;
pub use super::seat::Waits;

/// See the module.
#[derive(Debug)]
pub struct Seats<S: Socket> {
    /// By slot.
    seats: Vec<Option<Box<Seat<S>>>>,
    /// What is to be reported.
    pub out: Batch<Report, S::Unbound>,
    /// Slots that found no room in the batch.
    paused: Vec<u32>,
}

impl<S: Socket> Default for Seats<S> {
    fn default() -> Self {
        Self {
            seats: Vec::new(),
            out: Batch::default(),
            paused: Vec::new(),
        }
    }
}

impl<S: Socket> Seats<S> {
    fn seat(&mut self, address: Address) -> Option<&mut Box<Seat<S>>> {
        let seat = self.seats.get_mut(address.slot as usize)?.as_mut()?;
        (seat.address == address).then_some(seat)
    }

    fn take(&mut self, address: Address) -> Option<Box<Seat<S>>> {
        self.seat(address)?;
        self.seats[address.slot as usize].take()
    }

    fn put_back(&mut self, seat: Box<Seat<S>>) {
        let slot = seat.address.slot as usize;
        self.seats[slot] = Some(seat);
    }

    fn report(&mut self, address: Address, what: Report) {
        let credit = 0;
        self.out.push(Entry {
            address,
            credit,
            what,
        });
    }

    /// Carries out one order; true if the seat is a new one, which is to be driven by [`Self::poll`] from now on.
    pub fn carry_out(
        &mut self,
        entry: Entry<Order>,
        orders: &mut Batch<Order, S::Unbound>,
        bytes: Range<usize>,
    ) -> bool {
        let address = entry.address;
        if entry.what == Order::Adopt {
            return self.adopt(address, orders);
        }
        let out = &mut self.out;
        let seat = self.seats.get_mut(address.slot as usize).and_then(Option::as_mut);
        // It may have ended before the order came.
        let Some(seat) = seat.filter(|seat| seat.address == address) else {
            return false;
        };
        seat.grant(entry.credit);
        match entry.what {
            Order::Adopt | Order::Grant => {}
            Order::Bytes(_) => seat.send(orders.bytes(bytes), out),
            Order::Close => seat.close(),
            Order::Drop => {
                seat.wake();
                self.seats[address.slot as usize] = None;
            }
            Order::Return => self.hand_back(address),
        }
        false
    }

    fn adopt(&mut self, address: Address, orders: &mut Batch<Order, S::Unbound>) -> bool {
        let socket = orders.take_socket();
        let Some(Ok(seat)) = socket.map(|socket| Seat::new(address, socket)) else {
            self.report(address, Report::Broken);
            return false;
        };
        let slot = address.slot as usize;
        if self.seats.len() <= slot {
            self.seats.resize_with(slot + 1, || None);
        }
        self.seats[slot] = Some(Box::new(seat));
        true
    }

    fn hand_back(&mut self, address: Address) {
        let Some(seat) = self.take(address) else { return };
        if !seat.is_quiet() {
            self.put_back(seat);
            return self.report(address, Report::Kept);
        }
        match seat.unbind() {
            Ok(socket) => self.out.push_socket(
                Entry {
                    address,
                    credit: 0,
                    what: Report::Returned,
                },
                socket,
            ),
            Err(_) => self.report(address, Report::Broken),
        }
    }

    /// Writes and reads for one connection as far as its socket and its windows allow.
    pub fn poll(&mut self, address: Address, cx: &mut Context<'_>) -> Waits {
        let Some(mut seat) = self.take(address) else {
            return Waits::NoMore;
        };
        let waits = seat.poll(cx, &mut self.out);
        match waits {
            Waits::NoMore => return waits,
            Waits::ForRoom => self.paused.push(address.slot),
            Waits::Longer => {}
        }
        self.put_back(seat);
        waits
    }

    /// Lets those go on who found no room, if there is some now.
    pub fn call_paused(&mut self) {
        if self.out.has_room() {
            for slot in std::mem::take(&mut self.paused) {
                if let Some(Some(seat)) = self.seats.get(slot as usize) {
                    seat.wake();
                }
            }
        }
    }

    /// Closes all sockets.
    pub fn clear(&mut self) {
        self.seats.clear();
    }
}
