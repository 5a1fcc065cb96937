//! Where the address of a supervised actor is found, as long as there is one.

use actix::{Actor, Addr, Context};
use tokio::sync::watch;

/// Which life of a supervised actor: 1 is the first, each restart adds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(
    /// The number.
    pub u64,
);

/// What handles see of a child.
pub(super) struct Slot<A: Actor> {
    pub(super) incarnation: Incarnation,
    pub(super) state: State<A>,
}

pub(super) enum State<A: Actor> {
    /// Between two lives.
    Down,
    /// Takes messages, has not come to the first one.
    Starting(Addr<A>),
    /// Has started.
    Up(Addr<A>),
    /// There will be no further life.
    Over,
}

impl<A: Actor> Slot<A> {
    pub(super) fn address(&self) -> Option<&Addr<A>> {
        match &self.state {
            State::Starting(address) | State::Up(address) => Some(address),
            State::Down | State::Over => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

/// The writing end. When it is dropped the slot is over, however that came about.
pub(super) struct SlotOwner<A: Actor>(watch::Sender<Slot<A>>);

impl<A: Actor<Context = Context<A>>> SlotOwner<A> {
    pub(super) fn new() -> (Self, watch::Receiver<Slot<A>>) {
        let (sender, receiver) = watch::channel(Slot {
            incarnation: Incarnation(0),
            state: State::Down,
        });
        (Self(sender), receiver)
    }

    /// A new life begins.
    pub(super) fn starting(&self, address: Addr<A>) {
        self.0.send_modify(|slot| {
            slot.incarnation.0 += 1;
            slot.state = State::Starting(address);
        });
    }

    /// The life that began has come to its first message.
    pub(super) fn up(&self) {
        self.0.send_if_modified(|slot| {
            let State::Starting(address) = &slot.state else {
                return false;
            };
            slot.state = State::Up(address.clone());
            true
        });
    }

    /// The life has ended.
    pub(super) fn down(&self) {
        self.0.send_modify(|slot| slot.state = State::Down);
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.0.borrow().incarnation
    }
}

impl<A: Actor> Drop for SlotOwner<A> {
    fn drop(&mut self) {
        self.0.send_modify(|slot| slot.state = State::Over);
    }
}
