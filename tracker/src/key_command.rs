//! `p2p-tracker key …`: works on the store itself, so it needs no key and no tracker that runs.
//!
//! A tracker that does run sees the change within some seconds ([`crate::access::keeper::POLL`]). It is not locked out as a second tracker is: it keeps
//! nothing in memory that the first one would not read again. What it did is in the audit, as done by [`WHO`].

use crate::{
    access::{
        key,
        order::{self, BadOrder, MOST_KEYS, Ordered},
    },
    api::keys::record_of,
    clock::Clock,
    config::{Config, KeyCommand, KeyTerms},
    root::{self, StartError},
    storage::{AuditEntry, Store, StoreError, StoredKey, Write, Written},
};
use p2p_shared::tracker_api::{KeyRecord, KeyScope, NewKeyRequest, NewKeyResponse, Quota};
use serde_json::{Value, json};
use std::sync::Arc;

/// Whom the audit names.
const WHO: &str = "command-line";

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAnswer {
    /// This key, shown this once.
    Made(Box<NewKeyResponse>),
    /// These keys, the oldest first.
    Keys(Vec<KeyRecord>),
    /// The key of this id is worth nothing any more.
    Revoked(String),
}

impl KeyAnswer {
    /// The answer as JSON, one object a line, each with its `event`.
    pub fn json(&self) -> Vec<Value> {
        match self {
            Self::Made(made) => vec![json!({"event": "key", "key": made.key, "record": made.record})],
            Self::Keys(keys) => keys
                .iter()
                .map(|key| json!({"event": "key", "record": key}))
                .collect(),
            Self::Revoked(id) => vec![json!({"event": "revoked", "id": id})],
        }
    }
}

/// A key as a person reads it: id, scope, name, and when it was used and ends in days and hours from now.
pub fn line(key: &KeyRecord) -> String {
    let now = Clock::start().now() / 1000;
    let used = key.last_used.map_or_else(
        || "never used".to_owned(),
        |time| format!("used {} ago", span(now.saturating_sub(time))),
    );
    let ends = match key.expires_at {
        None => "does not expire".to_owned(),
        Some(_) if key.expired => "expired".to_owned(),
        Some(time) => format!("expires in {}", span(time.saturating_sub(now))),
    };
    let scope = scope_name(key.scope);
    let name = key.name.escape_debug();
    format!(
        "{}  {scope:<5}  {used}, {ends}, relayed {} bytes this month  {name}",
        key.id, key.relayed_this_month
    )
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A scope as it is written.
pub fn scope_name(scope: KeyScope) -> &'static str {
    match scope {
        KeyScope::Read => "read",
        KeyScope::Peer => "peer",
        KeyScope::Admin => "admin",
    }
}

/// Why a command about keys was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store cannot do it.
    #[error("{0}")]
    Store(String),
    /// There is no such key.
    #[error("there is no key {0:?}, or it was revoked; p2p-tracker key list shows those that there are")]
    Unknown(String),
    /// It makes no sense.
    #[error("{0}")]
    BadOrder(String),
    /// The system gives no randomness.
    #[error("cannot make a key: {0}")]
    System(String),
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<BadOrder> for KeyError {
    fn from(error: BadOrder) -> Self {
        Self::BadOrder(error.to_string())
    }
}

/// Carries out a command. Inside of a runtime.
///
/// # Errors
/// When the store cannot be used, the key is not there, or the order makes no sense.
pub async fn run(config: &Config, command: &KeyCommand) -> Result<KeyAnswer, KeyError> {
    let store = root::open_beside(config).await?;
    let now = Clock::start().now();
    match command {
        KeyCommand::Add { name, scope, terms } => {
            let asked = NewKeyRequest {
                name: Some(name.clone()),
                scope: Some((*scope).into()),
                ..request(terms)
            };
            make(&store, asked, now).await
        }
        KeyCommand::Rotate { id, grace, terms } => {
            let asked = NewKeyRequest {
                replaces: Some(id.clone()),
                grace: grace.map(|grace| grace.0),
                ..request(terms)
            };
            make(&store, asked, now).await
        }
        KeyCommand::List => {
            let keys = store.keys().await?;
            let records = keys.iter().map(|key| record_of(key, now)).collect();
            Ok(KeyAnswer::Keys(records))
        }
        KeyCommand::Revoke { id } => revoke(&store, id, now).await,
    }
}

fn request(terms: &KeyTerms) -> NewKeyRequest {
    let quota = Quota {
        requests: terms.most_requests,
        connections: terms.most_connections,
        tunnels: terms.most_tunnels,
        rate: terms.most_rate,
        month: terms.most_month,
    };
    NewKeyRequest {
        expires_in: terms.expires.map(|life| life.0),
        quota: (quota != Quota::default()).then_some(quota),
        ..NewKeyRequest::default()
    }
}

async fn make(store: &Arc<dyn Store>, asked: NewKeyRequest, now: u64) -> Result<KeyAnswer, KeyError> {
    let keys = store.keys().await?;
    if keys.len() >= MOST_KEYS {
        let detail = format!("there are {MOST_KEYS} keys, which is as many as there may be; revoke some");
        return Err(KeyError::BadOrder(detail));
    }
    let replaces = asked.replaces.clone();
    let replaced = match &replaces {
        None => None,
        Some(id) => Some(find(&keys, id)?),
    };
    let Ordered {
        key,
        scope,
        replaced_ends,
    } = order::read(asked, replaced, now)?;
    let made = key::make(key, scope, now);
    let (key, stored) = made.map_err(|error| KeyError::System(error.to_string()))?;
    let record = record_of(&stored, now);
    let act = match &replaces {
        None => act("key.add", &stored.id, String::new(), now),
        Some(old) => act("key.rotate", &stored.id, format!("in the place of {old}"), now),
    };
    let mut writes = vec![act, Write::AddKey(stored)];
    if let Some((id, at)) = replaces.zip(replaced_ends) {
        writes.push(Write::ExpireKey { id, at });
    }
    store.commit(writes).await?;
    Ok(KeyAnswer::Made(Box::new(NewKeyResponse { key, record })))
}

async fn revoke(store: &Arc<dyn Store>, id: &str, now: u64) -> Result<KeyAnswer, KeyError> {
    find(&store.keys().await?, id)?;
    let revoke = Write::RevokeKey {
        id: id.to_owned(),
        at: now,
    };
    let written = store
        .commit(vec![act("key.revoke", id, String::new(), now), revoke])
        .await?;
    match written.last() {
        Some(Written::Missing) => Err(KeyError::Unknown(id.to_owned())),
        _ => Ok(KeyAnswer::Revoked(id.to_owned())),
    }
}

fn find<'a>(keys: &'a [StoredKey], id: &str) -> Result<&'a StoredKey, KeyError> {
    let found = keys.iter().find(|key| key.id == id);
    found.ok_or_else(|| KeyError::Unknown(id.chars().take(20).collect()))
}

fn act(action: &str, target: &str, detail: String, at: u64) -> Write {
    Write::Audit(AuditEntry {
        at,
        key_id: WHO.to_owned(),
        address: String::new(),
        action: action.to_owned(),
        target: target.to_owned(),
        detail,
    })
}
