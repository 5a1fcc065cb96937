//! Owners on both sides who do whatever they like, and a wire that delivers it in any interleaving.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    Attach(bool, u8),
    Detach(bool, u8, bool),
    Interest(bool, u8, bool),
    Request(bool, u8, u32),
    Cancel(bool, u8, u32),
    Have(bool, u8, u32),
    Stop(bool, u8),
    Open(bool),
    Serve(bool),
    Deliver(bool),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let (side, file, chunk) = (any::<bool>(), 0..2u8, 0..CHUNKS);
    prop_oneof![
        2 => (side, file.clone()).prop_map(|(s, f)| Step::Attach(s, f)),
        1 => (side, file.clone(), any::<bool>()).prop_map(|(s, f, b)| Step::Detach(s, f, b)),
        2 => (side, file.clone(), any::<bool>()).prop_map(|(s, f, b)| Step::Interest(s, f, b)),
        4 => (side, file.clone(), chunk.clone()).prop_map(|(s, f, c)| Step::Request(s, f, c)),
        2 => (side, file.clone(), chunk.clone()).prop_map(|(s, f, c)| Step::Cancel(s, f, c)),
        1 => (side, file.clone(), chunk).prop_map(|(s, f, c)| Step::Have(s, f, c)),
        1 => (side, file).prop_map(|(s, f)| Step::Stop(s, f)),
        3 => side.prop_map(Step::Open),
        4 => side.prop_map(Step::Serve),
        9 => side.prop_map(Step::Deliver),
        1 => Just(Step::Tick),
    ]
}

fn name(file: u8) -> FileHash {
    FileHash([file + 1; 32])
}

impl Pair {
    fn side(&mut self, a: bool) -> &mut Side {
        if a { &mut self.a } else { &mut self.b }
    }

    /// Has one side's owner do something.
    fn act(&mut self, a: bool, act: impl FnOnce(&mut SessionState, Instant) -> Vec<Action>) {
        let now = self.now;
        let side = self.side(a);
        let actions = act(&mut side.state, now);
        side.carry_out(actions);
    }

    fn deliver(&mut self, to_a: bool) {
        let now = self.now;
        if let Some(wire) = self.side(!to_a).out.pop_front() {
            self.side(to_a).hear(wire, now);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Attach(a, f) => self.act(a, |state, _| state.attach(wanted(name(f)))),
            Step::Detach(a, f, serving) => {
                self.act(a, |state, _| {
                    state.detach(name(f), serving, DetachReason::Finished)
                });
            }
            Step::Interest(a, f, on) => self.act(a, |state, _| state.set_interest(name(f), on)),
            Step::Request(a, f, c) => self.act(a, |state, now| state.request(name(f), vec![at(c)], now)),
            Step::Cancel(a, f, c) => self.act(a, |state, _| state.cancel(name(f), at(c))),
            Step::Have(a, f, c) => {
                let held = self.side(a).holds.entry(name(f));
                held.or_insert_with(|| Bitfield::new(CHUNKS)).set(at(c));
                self.act(a, |state, _| state.have(name(f), at(c)));
            }
            Step::Stop(a, f) => {
                self.side(a).holds.remove(&name(f));
            }
            Step::Open(a) => self.side(a).open(),
            Step::Serve(a) => self.side(a).serve(),
            Step::Deliver(to_a) => self.deliver(to_a),
            Step::Tick => {
                self.now += Duration::from_millis(700);
                self.act(true, |state, now| state.on_tick(Answered::default(), now));
                self.act(false, |state, now| state.on_tick(Answered::default(), now));
            }
        }
    }
}

proptest! {
    /// Whatever the owners on both sides do, and however it interleaves on the wire.
    #[test]
    fn two_correct_peers_never_accuse_each_other_and_every_request_is_answered(
        steps in prop::collection::vec(step(), 0..400),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.apply(step);
            prop_assert!(pair.a.violation().is_none(), "A: {:?}", pair.a.closed);
            prop_assert!(pair.b.violation().is_none(), "B: {:?}", pair.b.closed);
        }
        pair.settle();
        prop_assert!(pair.a.violation().is_none() && pair.b.violation().is_none());
        for side in [&pair.a, &pair.b] {
            prop_assert_eq!(side.state.requests.outstanding(), 0);
            let attached: BTreeSet<_> = side.state.fetched().collect();
            for file in attached {
                // Whoever still fetches has heard what the other one holds.
                prop_assert!(side.attached(file).is_some());
            }
        }
    }
}
