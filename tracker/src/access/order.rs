//! What an operator's order for a key leads to, over HTTP and on the command line. Pure.

use super::key::NewKey;
use crate::storage::{KeyQuota, Scope, StoredKey};
use p2p_shared::tracker_api::{KeyScope, NewKeyRequest, Quota};

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

/// Longest life of a key, in seconds: ten years.
const LONGEST_LIFE: u64 = 10 * 365 * 86_400;

/// How long a key that is rotated out is still good unless said, in seconds: a day.
pub(crate) const GRACE: u64 = 86_400;

/// Keys that a tracker may have: all of them are in memory, some hundred bytes each.
pub(crate) const MOST_KEYS: usize = 10_000;

/// The lowest rate of a key, in bytes a second, for the reason that `relay-rate` has one.
const LOWEST_RATE: u64 = 64 * 1024;

/// Bytes of a month are counted in 48 bits.
const MOST_MONTH: u64 = 1 << 48;

/// Why there is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadOrder {
    /// No name, or too long a one, or one that upsets a terminal.
    #[error("a key needs a name of 1 to {LONGEST_NAME} printable characters that says what it is for")]
    Name,
    /// Nothing says what it may do.
    #[error("say what the key may do: scope read, peer or admin")]
    Scope,
    /// It would not live, or for too long.
    #[error("a key lives from 1 second to ten years, not {0} seconds")]
    Life(u64),
    /// The other one would live too long.
    #[error("a replaced key is good for at most ten years, not {0} seconds")]
    Grace(u64),
    /// A grace for nobody.
    #[error("grace is for a key that is replaced; say which")]
    GraceOfNone,
    /// Too slow to be one.
    #[error("a quota of rate is 0 (no limit) or at least {LOWEST_RATE} bytes a second, not {0}")]
    Rate(u64),
    /// Too much to be counted.
    #[error("a quota of month is below 2^48 bytes, not {0}")]
    Month(u64),
}

/// The key that is to be made, and when the one that it replaces ends (Unix milliseconds).
pub(crate) struct Ordered {
    pub(crate) key: NewKey,
    pub(crate) scope: Scope,
    pub(crate) replaced_ends: Option<u64>,
}

/// Reads an order at `now` (Unix milliseconds); `replaced` is the key that it names.
pub(crate) fn read(
    order: NewKeyRequest,
    replaced: Option<&StoredKey>,
    now: u64,
) -> Result<Ordered, BadOrder> {
    let name = order.name.or_else(|| replaced.map(|key| key.name.clone()));
    let name = name.filter(|name| is_name(name)).ok_or(BadOrder::Name)?;
    let scope = order
        .scope
        .map(scope_of)
        .or_else(|| replaced.map(|key| key.scope));
    let life = order.expires_in.map(|life| match life {
        1..=LONGEST_LIFE => Ok(now + life * 1000),
        _ => Err(BadOrder::Life(life)),
    });
    let quota = match order.quota {
        Some(quota) => check(quota)?,
        None => replaced.map(|key| key.quota).unwrap_or_default(),
    };
    Ok(Ordered {
        key: NewKey {
            name,
            expires_at: life.transpose()?,
            quota,
        },
        scope: scope.ok_or(BadOrder::Scope)?,
        replaced_ends: end_of_replaced(replaced.is_some(), order.grace, now)?,
    })
}

fn end_of_replaced(is_there: bool, grace: Option<u64>, now: u64) -> Result<Option<u64>, BadOrder> {
    match (is_there, grace) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(BadOrder::GraceOfNone),
        (true, Some(grace)) if grace > LONGEST_LIFE => Err(BadOrder::Grace(grace)),
        (true, grace) => Ok(Some(now + grace.unwrap_or(GRACE) * 1000)),
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count())
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control)
}

fn check(quota: Quota) -> Result<KeyQuota, BadOrder> {
    if let Some(rate @ 1..LOWEST_RATE) = quota.rate {
        return Err(BadOrder::Rate(rate));
    }
    if let Some(month @ MOST_MONTH..) = quota.month {
        return Err(BadOrder::Month(month));
    }
    Ok(KeyQuota {
        requests: quota.requests,
        connections: quota.connections,
        tunnels: quota.tunnels,
        rate: quota.rate,
        month: quota.month,
    })
}

/// A scope as it is kept.
pub(crate) fn scope_of(scope: KeyScope) -> Scope {
    match scope {
        KeyScope::Read => Scope::Read,
        KeyScope::Peer => Scope::Peer,
        KeyScope::Admin => Scope::Admin,
    }
}

/// A scope as it is said.
pub(crate) fn said_scope(scope: Scope) -> KeyScope {
    match scope {
        Scope::Read => KeyScope::Read,
        Scope::Peer => KeyScope::Peer,
        Scope::Admin => KeyScope::Admin,
    }
}

/// A quota as it is said.
pub(crate) fn said_quota(quota: &KeyQuota) -> Quota {
    Quota {
        requests: quota.requests,
        connections: quota.connections,
        tunnels: quota.tunnels,
        rate: quota.rate,
        month: quota.month,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::key::make;

    fn order(name: &str) -> NewKeyRequest {
        NewKeyRequest {
            name: Some(name.to_owned()),
            scope: Some(KeyScope::Peer),
            ..NewKeyRequest::default()
        }
    }

    #[test]
    fn a_key_is_what_was_ordered() {
        let asked = NewKeyRequest {
            expires_in: Some(60),
            quota: Some(Quota {
                month: Some(1000),
                ..Quota::default()
            }),
            ..order("team a")
        };
        let ordered = read(asked, None, 5000).unwrap();
        assert_eq!(ordered.scope, Scope::Peer);
        assert_eq!(ordered.key.expires_at, Some(65_000));
        assert_eq!(ordered.key.quota.month, Some(1000));
        assert_eq!(ordered.replaced_ends, None);
    }

    #[test]
    fn a_key_that_replaces_another_takes_over_from_it_and_both_are_good_for_a_while() {
        let made = read(order("team a"), None, 0).unwrap();
        let (_, mut old) = make(made.key, made.scope, 0).unwrap();
        old.quota.rate = Some(1 << 20);
        let rotate = NewKeyRequest::default();
        let ordered = read(rotate.clone(), Some(&old), 1000).unwrap();
        assert_eq!((&ordered.key.name[..], ordered.scope), ("team a", Scope::Peer));
        assert_eq!(ordered.key.quota, old.quota);
        assert_eq!(ordered.replaced_ends, Some(1000 + GRACE * 1000));
        let at_once = NewKeyRequest {
            grace: Some(0),
            ..rotate
        };
        assert_eq!(read(at_once, Some(&old), 1000).unwrap().replaced_ends, Some(1000));
    }

    #[test]
    fn orders_that_make_no_sense_are_refused() {
        let quota = |rate, month| NewKeyRequest {
            quota: Some(Quota {
                rate,
                month,
                ..Quota::default()
            }),
            ..order("a")
        };
        let life = |expires_in| NewKeyRequest {
            expires_in: Some(expires_in),
            ..order("a")
        };
        let mut no_scope = order("a");
        no_scope.scope = None;
        let mut grace = order("a");
        grace.grace = Some(1);
        for (asked, error) in [
            (order(""), BadOrder::Name),
            (order("  "), BadOrder::Name),
            (order("a\nb"), BadOrder::Name),
            (order(&"a".repeat(101)), BadOrder::Name),
            (no_scope, BadOrder::Scope),
            (life(0), BadOrder::Life(0)),
            (life(u64::MAX), BadOrder::Life(u64::MAX)),
            (grace, BadOrder::GraceOfNone),
            (quota(Some(1), None), BadOrder::Rate(1)),
            (quota(None, Some(1 << 48)), BadOrder::Month(1 << 48)),
        ] {
            assert_eq!(read(asked, None, 0).err(), Some(error));
        }
    }
}
