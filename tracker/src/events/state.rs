//! What is told when: most events at once, counts of swarms and of the relay once a second, rates every five.
//!
//! Pure: the hub passes in what it saw.

use super::event::{Event, Rates};
use indexmap::IndexMap;
use p2p_shared::id::FileHash;

/// Swarms whose change may wait for the next second. Were it more, those who watch would begin anew.
const WAITING: usize = 16_384;

/// Rates are told every so many seconds, and are means over as many.
const RATES_EVERY: u64 = 5;

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) requests: u64,
    pub(super) announces: u64,
    pub(super) relay_bytes: u64,
    pub(super) relay_connections: u64,
    pub(super) relay_tunnels: u64,
}

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct EventState {
    /// The last counts of each swarm that changed, in the order of the first change.
    swarms: IndexMap<FileHash, (u32, u32)>,
    ticks: u64,
    rated: Counted,
    relay: (u64, u64),
}

impl EventState {
    /// Something happened. What is to be told of it now; an error: it had to be dropped.
    pub(super) fn on_event(&mut self, event: Event) -> Result<Option<Event>, ()> {
        match event {
            Event::Swarm {
                hash,
                seeders,
                leechers,
            } => {
                if self.swarms.len() >= WAITING && !self.swarms.contains_key(&hash) {
                    return Err(());
                }
                self.swarms.insert(hash, (seeders, leechers));
                Ok(None)
            }
            Event::FileRemoved { hash } => {
                // Nobody wants to hear of its swarm after its end.
                self.swarms.shift_remove(&hash);
                Ok(Some(event))
            }
            event => Ok(Some(event)),
        }
    }

    /// A second passed. What is to be told now.
    pub(super) fn on_tick(&mut self, counted: Counted) -> Vec<Event> {
        self.ticks += 1;
        let mut events: Vec<Event> = self
            .swarms
            .drain(..)
            .map(|(hash, (seeders, leechers))| Event::Swarm {
                hash,
                seeders,
                leechers,
            })
            .collect();
        let relay = (counted.relay_connections, counted.relay_tunnels);
        if std::mem::replace(&mut self.relay, relay) != relay {
            events.push(Event::Relay {
                connections: relay.0,
                tunnels: relay.1,
            });
        }
        if self.ticks.is_multiple_of(RATES_EVERY) {
            events.push(Event::Rates(rates(&self.rated, &counted)));
            self.rated = counted;
        }
        events
    }
}

fn rates(before: &Counted, now: &Counted) -> Rates {
    let rate = |of: fn(&Counted) -> u64| of(now).saturating_sub(of(before)) as f64 / RATES_EVERY as f64;
    Rates {
        requests: rate(|counted| counted.requests),
        announces: rate(|counted| counted.announces),
        relay_bytes: rate(|counted| counted.relay_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swarm(seed: u32, seeders: u32) -> Event {
        let mut hash = FileHash([0; 32]);
        hash.0[..4].copy_from_slice(&seed.to_be_bytes());
        let leechers = 0;
        Event::Swarm {
            hash,
            seeders,
            leechers,
        }
    }

    #[test]
    fn a_swarm_that_changes_many_times_in_a_second_is_told_once_as_it_is_then() {
        let mut state = EventState::default();
        for seeders in 1..=100 {
            assert_eq!(state.on_event(swarm(1, seeders)), Ok(None));
            assert_eq!(state.on_event(swarm(2, 1)), Ok(None));
        }
        assert_eq!(state.on_tick(Counted::default()), [swarm(1, 100), swarm(2, 1)]);
        assert_eq!(state.on_tick(Counted::default()), []);
    }

    #[test]
    fn no_more_swarms_wait_than_there_is_room_for() {
        let mut state = EventState::default();
        for seed in 0..WAITING as u32 {
            assert_eq!(state.on_event(swarm(seed, 1)), Ok(None));
        }
        assert_eq!(state.on_event(swarm(u32::MAX, 1)), Err(()));
        assert_eq!(state.on_event(swarm(0, 2)), Ok(None));
    }

    #[test]
    fn a_swarm_is_not_told_of_after_the_end_of_its_file() {
        let mut state = EventState::default();
        let change = swarm(1, 1);
        let hash = *change.file().unwrap();
        assert_eq!(state.on_event(change), Ok(None));
        assert!(state.on_event(Event::FileRemoved { hash }).unwrap().is_some());
        assert_eq!(state.on_tick(Counted::default()), []);
    }

    #[test]
    fn rates_are_means_over_the_seconds_since_they_were_told_last() {
        let mut state = EventState::default();
        let mut told = Vec::new();
        for second in 1..=10 {
            let counted = Counted {
                requests: second * 10,
                relay_tunnels: 2,
                ..Counted::default()
            };
            told.extend(state.on_tick(counted));
        }
        let (connections, tunnels) = (0, 2);
        assert_eq!(
            told[0],
            Event::Relay { connections, tunnels },
            "told once, as it changed"
        );
        let rates = Event::Rates(Rates {
            requests: 10.0,
            ..Rates::default()
        });
        assert_eq!(told[1..], [rates.clone(), rates]);
    }
}
