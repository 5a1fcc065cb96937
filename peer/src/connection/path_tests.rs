//! The ways to one peer, by sentences and at random.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const EVERYTHING: Ways = Ways {
    addresses: true,
    relays: true,
    udp: true,
};
const NO_UDP: Ways = Ways {
    udp: false,
    ..EVERYTHING
};
const RELAYS: Ways = Ways {
    addresses: false,
    ..NO_UDP
};
const PLAIN: Ways = Ways {
    relays: false,
    ..NO_UDP
};

/// A peer that is wanted, with a clock in milliseconds.
struct Scene {
    paths: Paths,
    policy: Policy,
    ways: Ways,
    start: Instant,
}

impl Scene {
    fn new(policy: Policy, ways: Ways) -> Self {
        Self {
            paths: Paths::new(),
            policy,
            ways,
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Begins whatever is due.
    fn begin(&mut self, ms: u64) -> Vec<Attempt> {
        let due = self.paths.due(self.policy, self.ways, true, self.at(ms));
        for attempt in &due {
            self.paths.on_begun(*attempt);
        }
        due
    }

    fn fail(&mut self, attempt: Attempt, ms: u64) {
        let now = self.at(ms);
        self.paths.on_failed(attempt, 0, now);
    }

    fn hold(&mut self, path: PathKind, ms: u64) {
        let now = self.at(ms);
        self.paths.on_answered(Attempt::to(path));
        self.paths.on_holding(Some(Holding { path, quiet: false }), now);
    }

    /// When it is begun again, in steps of 100 ms.
    fn begun_at(&mut self, attempt: Attempt, from: u64) -> u64 {
        let mut times = (from..from + 1_000_000).step_by(100);
        times
            .find(|ms| self.begin(*ms).contains(&attempt))
            .expect("never begun again")
    }
}

use Attempt::{Dial, Punch, Tunnel};

#[test]
fn everything_is_tried_at_once_but_the_relay_which_is_used_after_half_a_second() {
    let mut scene = Scene::new(Policy::Auto, EVERYTHING);
    assert_eq!(scene.begin(0), [Dial, Punch]);
    assert_eq!(scene.begin(249), []);
    assert_eq!(scene.begin(250), [Tunnel], "to stand when it is to be used");
    assert_eq!(scene.paths.not_before(Tunnel), Some(scene.at(500)));
    assert_eq!(scene.paths.not_before(Punch), None);
}

#[test]
fn the_relay_does_not_wait_for_what_there_is_no_hope_for() {
    assert_eq!(Scene::new(Policy::Auto, RELAYS).begin(0), [Tunnel]);
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    scene.fail(Dial, 20);
    assert_eq!(scene.begin(30), [Tunnel]);
    assert_eq!(scene.paths.not_before(Tunnel), None);
}

#[test]
fn with_a_direct_session_nothing_else_is_tried() {
    let mut scene = Scene::new(Policy::Auto, EVERYTHING);
    scene.begin(0);
    scene.hold(PathKind::Direct, 50);
    scene.fail(Punch, 2000);
    assert_eq!(scene.begin(600_000), []);
}

#[test]
fn on_the_relay_better_is_looked_for_after_5_15_60_and_300_seconds() {
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    assert_eq!(scene.begin(250), [Tunnel]);
    scene.hold(PathKind::Relayed, 600);
    let mut now = 5000;
    for pause in [5, 15, 60, 300, 300] {
        scene.fail(Dial, now);
        let next = scene.begun_at(Dial, now);
        assert_eq!(next - now, pause * 1000);
        now = next;
    }
}

#[test]
fn a_new_address_makes_the_next_round_one_of_the_first() {
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    scene.hold(PathKind::Relayed, 600);
    for round in 1..4 {
        scene.fail(Dial, round * 1_000_000);
        scene.begun_at(Dial, round * 1_000_000);
    }
    scene.fail(Dial, 5_000_000);
    scene.paths.on_address_change();
    assert_eq!(scene.begin(5_000_000), [Dial]);
}

#[test]
fn who_is_not_reached_is_dialled_again_as_soon_as_ever() {
    let mut scene = Scene::new(Policy::Auto, PLAIN);
    assert_eq!(scene.begin(0), [Dial]);
    scene.fail(Dial, 10);
    assert_eq!(scene.begin(209), []);
    assert_eq!(scene.begin(210), [Dial]);
}

#[test]
fn sequentially_one_comes_after_the_other_and_the_relay_is_stayed_with() {
    let mut scene = Scene::new(Policy::Sequential, EVERYTHING);
    assert_eq!(scene.begin(0), [Dial]);
    assert_eq!(scene.begin(4900), []);
    scene.fail(Dial, 5000);
    assert_eq!(scene.begin(5000), [Punch]);
    assert_eq!(scene.begin(6000), []);
    scene.fail(Punch, 7000);
    assert_eq!(scene.begin(7000), [Tunnel]);
    scene.hold(PathKind::Relayed, 7100);
    assert_eq!(scene.begin(1_000_000), []);
}

#[test]
fn direct_only_opens_no_tunnel_and_relay_only_nothing_else() {
    let mut direct = Scene::new(Policy::DirectOnly, EVERYTHING);
    assert_eq!(direct.begin(0), [Dial, Punch]);
    direct.fail(Dial, 100);
    direct.fail(Punch, 100);
    for ms in (0..400_000).step_by(1000) {
        let begun = direct.begin(ms);
        assert!(!begun.contains(&Tunnel));
        begun.into_iter().for_each(|attempt| direct.fail(attempt, ms));
    }
    let mut relay = Scene::new(Policy::RelayOnly, EVERYTHING);
    assert_eq!(relay.begin(0), [Tunnel]);
    relay.hold(PathKind::Relayed, 100);
    assert_eq!(relay.begin(400_000), []);
}

#[test]
fn a_silent_session_has_a_tunnel_opened_beside_it_at_once() {
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    scene.hold(PathKind::Direct, 50);
    let now = scene.at(9000);
    let (path, quiet) = (PathKind::Direct, true);
    scene.paths.on_holding(Some(Holding { path, quiet }), now);
    assert_eq!(scene.begin(9000), [Tunnel]);
}

#[test]
fn a_lost_session_is_looked_for_in_every_way_at_once_and_one_that_we_are_not_wanted_on_later() {
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    scene.hold(PathKind::Direct, 50);
    let now = scene.at(9000);
    scene.paths.on_holding(None, now);
    scene.paths.on_lost(PathKind::Direct, Redial::Soon, 0, now);
    assert_eq!(scene.begin(9000), [Tunnel]);
    assert_eq!(scene.begin(9200), [Dial]);
    let mut scene = Scene::new(Policy::Auto, NO_UDP);
    scene.begin(0);
    scene.hold(PathKind::Direct, 50);
    let now = scene.at(9000);
    scene.paths.on_holding(None, now);
    scene.paths.on_lost(PathKind::Direct, Redial::Later, 0, now);
    assert_eq!(scene.begin(308_000), []);
    assert_eq!(scene.begin(309_000), [Dial, Tunnel]);
}

#[test]
fn an_unwanted_peer_is_let_be_unless_it_is_here_by_a_worse_path() {
    let mut scene = Scene::new(Policy::Auto, EVERYTHING);
    assert_eq!(scene.paths.due(Policy::Auto, EVERYTHING, false, scene.start), []);
    scene.hold(PathKind::Relayed, 0);
    assert_eq!(
        scene.paths.due(Policy::Auto, EVERYTHING, false, scene.start),
        [Dial]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Fail(usize),
    Answer(usize),
    Holding(Option<(usize, bool)>),
    Lost(usize, bool),
    AddressChange,
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize).prop_map(Step::Fail),
        1 => (0..3usize).prop_map(Step::Answer),
        2 => prop::option::of((0..3usize, any::<bool>())).prop_map(Step::Holding),
        1 => (0..3usize, any::<bool>()).prop_map(|(path, later)| Step::Lost(path, later)),
        1 => Just(Step::AddressChange),
        4 => (0..400_000u32).prop_map(Step::Wait),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![
        Policy::Auto,
        Policy::Sequential,
        Policy::DirectOnly,
        Policy::RelayOnly,
    ])
}

proptest! {
    #[test]
    fn whatever_happens_each_way_is_tried_once_at_a_time_and_who_is_not_reached_is_always_tried_again(
        policy in policy(),
        ways in prop::sample::select(vec![EVERYTHING, NO_UDP, RELAYS, PLAIN]),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut paths = Paths::new();
        let mut now = Instant::now();
        let mut under_way = BTreeSet::new();
        let mut holding = None;
        for step in steps {
            match step {
                Step::Fail(attempt) => {
                    paths.on_failed(Attempt::ALL[attempt], 0, now);
                    under_way.remove(&Attempt::ALL[attempt]);
                }
                Step::Answer(attempt) => {
                    paths.on_answered(Attempt::ALL[attempt]);
                    under_way.remove(&Attempt::ALL[attempt]);
                }
                Step::Holding(held) => {
                    holding = held.map(|(path, quiet)| Holding { path: Attempt::ALL[path].path(), quiet });
                    paths.on_holding(holding, now);
                }
                Step::Lost(path, later) => {
                    let redial = if later { Redial::Later } else { Redial::Soon };
                    paths.on_lost(Attempt::ALL[path].path(), redial, 0, now);
                }
                Step::AddressChange => paths.on_address_change(),
                Step::Wait(ms) => now += Duration::from_millis(ms.into()),
            }
            for attempt in paths.due(policy, ways, true, now) {
                prop_assert!(policy.allows(attempt.path()));
                prop_assert!(under_way.insert(attempt), "{attempt:?} twice at once");
                paths.on_begun(attempt);
            }
            prop_assert!(policy != Policy::Sequential || under_way.len() <= 3);
            // Unless the policy leaves no way at all.
            let mut known = BTreeSet::new();
            known.extend(ways.addresses.then_some(Dial));
            known.extend((ways.relays && ways.udp).then_some(Punch));
            known.extend(ways.relays.then_some(Tunnel));
            let is_hopeless = !known.iter().any(|attempt| policy.allows(attempt.path()));
            if holding.is_none() && !is_hopeless && !paths.is_trying() {
                let next = paths.next(policy, ways, true);
                let soon = next.is_some_and(|next| next <= now + LATER);
                prop_assert!(soon, "nothing is under way, and nothing is to be");
            }
        }
    }
}
