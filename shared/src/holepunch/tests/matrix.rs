//! Which pairs of NAT kinds get through, with all that belongs to it: signals, timing, addresses learned on the way.

use super::{nat_model::Lab, world::World};
use crate::holepunch::{
    burst::{BurstFailure, GRACE, Punched, SENDING},
    candidate::CandidateKind,
    nat::NatKind,
    probe::Role,
};
use std::time::Duration;

/// One round, and some more time for what may go wrong after it.
const A_ROUND: Duration = Duration::from_millis(4_000);

fn client(world: &World) -> usize {
    let first = &world.hosts[0].schedule;
    usize::from(first.role() == Role::Server)
}

/// Both punched, and what the client then sends arrives at the server from an address that it admits.
fn assert_punched(world: &mut World, what: &str) -> [Punched; 2] {
    let [a, b] = &world.hosts;
    let (&[Ok(one)], &[Ok(other)]) = (a.outcomes.as_slice(), b.outcomes.as_slice()) else {
        panic!("{what}: {:?} {:?}", a.outcomes, b.outcomes);
    };
    let client = client(world);
    let dialled = [one, other][client].address;
    let (reached, seen_as) = world.route(client, dialled).unwrap();
    assert_eq!(reached, 1 - client, "{what}");
    assert!(
        world.hosts[reached].admitted.contains(&seen_as),
        "{what}: {seen_as}"
    );
    [one, other]
}

#[test]
fn the_whole_matrix_of_nat_kinds_comes_out_as_in_the_laboratory() {
    for one in Lab::ALL {
        for other in Lab::ALL {
            for who_wants in [&[0][..], &[1], &[0, 1]] {
                let what = format!("{one:?} × {other:?}, wanted by {who_wants:?}");
                let mut world = World::new([one, other]);
                for at in who_wants {
                    world.hosts[*at].schedule.want(world.begin);
                }
                world.run(A_ROUND);
                if one.punches_with(other) {
                    assert_punched(&mut world, &what);
                } else {
                    for host in &world.hosts {
                        assert!(
                            matches!(host.outcomes.as_slice(), [Err(_)]),
                            "{what}: {:?}",
                            host.outcomes
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_symmetric_side_is_reached_where_its_probe_came_from() {
    for reachable in [Lab::None, Lab::Full, Lab::Addr] {
        for (at, kinds) in [[Lab::Sym, reachable], [reachable, Lab::Sym]]
            .into_iter()
            .enumerate()
        {
            let mut world = World::new(kinds);
            world.hosts[0].schedule.want(world.begin);
            world.run(A_ROUND);
            let punched = assert_punched(&mut world, &format!("{kinds:?}"));
            // The other side of the symmetric one found it at an address that it had not named.
            assert_eq!(punched[1 - at].kind, None, "{kinds:?}");
        }
    }
}

#[test]
fn every_kind_is_told_by_what_the_rendezvous_sees() {
    for kind in Lab::ALL {
        let world = World::new([kind, Lab::None]);
        let expected = match kind {
            Lab::None | Lab::Fw => NatKind::None,
            Lab::Full | Lab::Addr | Lab::Port | Lab::Remap | Lab::CgnatPort => NatKind::EndpointIndependent,
            Lab::Sym | Lab::CgsymPort => NatKind::AddressDependent,
            Lab::NoUdp => NatKind::Blocked,
        };
        assert_eq!(NatKind::of(&world.hosts[0].observations), expected, "{kind:?}");
    }
}

#[test]
fn no_pair_that_gets_through_is_called_hopeless() {
    for one in Lab::ALL {
        for other in Lab::ALL {
            let world = World::new([one, other]);
            let [one_kind, other_kind] = world.hosts.each_ref().map(|host| NatKind::of(&host.observations));
            if one.punches_with(other) {
                assert!(one_kind.may_punch(other_kind), "{one:?} × {other:?}");
            }
        }
    }
}

#[test]
fn two_peers_in_one_network_meet_inside_it_whatever_stands_at_its_door() {
    for kind in [Lab::Full, Lab::Port, Lab::Sym, Lab::CgnatPort, Lab::NoUdp] {
        let mut world = World::one_network(kind);
        world.packet_delay = Duration::from_millis(1);
        world.hosts[0].schedule.want(world.begin);
        world.run(A_ROUND);
        for punched in assert_punched(&mut world, &format!("{kind:?}")) {
            assert_eq!(punched.kind, Some(CandidateKind::Lan), "{kind:?}");
            assert_eq!(punched.rtt, Duration::from_millis(2), "{kind:?}");
        }
    }
}

#[test]
fn both_sides_begin_at_the_same_time_however_long_signals_take() {
    for milliseconds in [1, 35, 200, 450] {
        let mut world = World::new([Lab::Port, Lab::Remap]);
        world.signal_delay = Duration::from_millis(milliseconds);
        world.hosts[0].schedule.want(world.begin);
        world.run(A_ROUND);
        assert_punched(&mut world, &format!("{milliseconds} ms"));
        let [a, b] = world.hosts.each_ref().map(|host| host.first_probes[0]);
        assert_eq!(a, b, "{milliseconds} ms");
    }
}

/// The same chance every time (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[test]
fn packets_that_are_lost_cost_time_and_not_the_round() {
    // The first forty (more than are sent in the first 100 ms), and half of all.
    let losses: [fn(u64) -> bool; 2] = [|number| number < 40, |number| mix(number).is_multiple_of(2)];
    for lost in losses {
        let mut world = World::new([Lab::Port, Lab::Port]);
        world.lost = lost;
        world.hosts[1].schedule.want(world.begin);
        world.run(A_ROUND);
        assert_punched(&mut world, "with losses");
    }
}

#[test]
fn a_lost_signal_costs_a_round_and_not_the_path() {
    for signal in 0..3 {
        let mut world = World::new([Lab::Port, Lab::Full]);
        world.lost_signals = vec![signal];
        world.hosts[0].schedule.want(world.begin);
        world.run(Duration::from_secs(15));
        let ended = world.hosts.each_ref().map(|host| host.outcomes.last().copied());
        assert!(matches!(ended, [Some(Ok(_)), Some(Ok(_))]), "{signal}: {ended:?}");
    }
}

#[test]
fn failed_rounds_come_again_after_5_15_60_and_300_seconds() {
    let mut world = World::new([Lab::Sym, Lab::Sym]);
    world.hosts[0].schedule.want(world.begin);
    world.run(Duration::from_secs(400));
    let seconds: Vec<u64> = world.hosts[0]
        .first_probes
        .windows(2)
        .map(|pair| (pair[1] - pair[0] - SENDING - GRACE).as_secs())
        .collect();
    assert_eq!(seconds, [5, 15, 60, 300]);
    let silence = Err(BurstFailure::Silence);
    assert_eq!(world.hosts[0].outcomes[..4], [silence; 4]);
}

#[test]
fn another_address_is_tried_at_once() {
    for who_moved in [0, 1] {
        let mut world = World::new([Lab::Sym, Lab::Sym]);
        world.hosts[0].schedule.want(world.begin);
        world.run(Duration::from_secs(40));
        let before = world.hosts[0].first_probes.len();
        world.hosts[who_moved].schedule.want(world.now);
        world.hosts[who_moved].schedule.on_address_change(world.now);
        world.run(Duration::from_secs(1));
        assert_eq!(world.hosts[0].first_probes.len(), before + 1, "{who_moved}");
        assert_eq!(world.hosts[who_moved].schedule.failures(), 0);
    }
}
