//! Connections, and whether there is a database at their other end.
//!
//! Promises an answer within the budget of an operation, whatever the server does: silent, gone, turned standby. The first
//! operation that finds it so pays with its budget; from then on every other is refused at once, until a probe in the
//! background has spoken with a server that takes writes. A connection comes back only from an operation that ended well;
//! what became of any other is not known, and it is closed.

use super::{connect::Connector, described};
use crate::storage::{PoolStatus, StoreError};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
    Timeouts,
};
use std::{
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::SimpleQueryMessage;

/// Connections of one tracker: the hot path asks none, so this is for announcements and for people who look.
const CONNECTIONS: usize = 12;

/// How long an operation waits for a connection that others have, for a new one, for an old one to say that it still
/// stands. All within what an operation may take.
const ACQUIRE: Timeouts = Timeouts {
    wait: Some(Duration::from_millis(800)),
    create: Some(Duration::from_millis(900)),
    recycle: Some(Duration::from_millis(500)),
};

/// How often a database that is down is asked whether it is back.
const PROBE: Duration = Duration::from_millis(250);

/// The pool. Clones share it.
#[derive(Clone)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    is_down: Arc<AtomicBool>,
    runtime: Handle,
}

impl Pool {
    /// A pool with no connection yet, of this runtime.
    pub(super) fn new(connector: Connector) -> Result<Self, StoreError> {
        let fast = ManagerConfig {
            // The hook below asks more than this would.
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(tokio_postgres::Config::new(), connector, fast);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(CONNECTIONS)
            .timeouts(ACQUIRE)
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(|client, _| Box::pin(takes_writes(client))))
            .build()
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self {
            connections,
            is_down: Arc::default(),
            runtime: Handle::current(),
        })
    }

    /// Does something with a connection, within `budget`.
    pub(super) async fn with<T, W>(&self, budget: Duration, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut Object) -> Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>,
    {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Unreachable(
                "it did not answer a moment ago".to_owned(),
            ));
        }
        let attempt = async {
            let mut lease = self.lease().await?;
            let result = work(&mut lease).await;
            if result.is_ok() {
                lease.give_back();
            }
            result
        };
        let result = match timeout(budget, attempt).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unreachable(format!("no answer within {budget:?}"))),
        };
        if let Err(StoreError::Unreachable(reason)) = &result {
            self.went_down(reason);
        }
        result
    }

    /// How the connections are used.
    pub(super) fn status(&self) -> PoolStatus {
        let status = self.connections.status();
        PoolStatus {
            idle: status.available,
            busy: status.size.saturating_sub(status.available),
            most: status.max_size,
            waiting: status.waiting,
        }
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        match self.connections.get().await {
            Ok(connection) => Ok(Lease(Some(connection))),
            Err(PoolError::Backend(error)) => Err(error.into()),
            Err(error) => Err(StoreError::Unreachable(error.to_string())),
        }
    }

    fn went_down(&self, reason: &str) {
        if self.is_down.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(reason, "database unreachable");
        // They lead to the same server; to find that out one by one would take longer than it is away.
        self.connections.retain(|_, _| false);
        self.runtime.spawn(self.clone().probe());
    }

    /// Until it is back.
    async fn probe(self) {
        let mut probes = tokio::time::interval(PROBE);
        loop {
            probes.tick().await;
            let Ok(mut lease) = self.lease().await else {
                continue;
            };
            if takes_writes(&mut lease).await.is_ok() {
                lease.give_back();
                break;
            }
        }
        tracing::info!("database reachable again");
        self.is_down.store(false, Ordering::Relaxed);
    }
}

/// Refuses a server that became a standby behind our back, as after a failover with the same address.
async fn takes_writes(client: &mut ClientWrapper) -> Result<(), HookError> {
    let ask = client.simple_query("SHOW transaction_read_only");
    let answer = match timeout(ACQUIRE.recycle.unwrap_or(PROBE), ask).await {
        Ok(answer) => answer.map_err(|error| HookError::message(described(&error)))?,
        Err(_) => return Err(HookError::message("it does not answer")),
    };
    let read_only = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    match read_only {
        Some("off") => Ok(()),
        _ => Err(HookError::message("it takes no writes (any more): a standby?")),
    }
}

/// A connection that is closed unless it is given back.
struct Lease(Option<Object>);

impl Lease {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lease {
    type Target = Object;

    #[expect(
        clippy::expect_used,
        reason = "only giving back takes it, and that consumes the lease"
    )]
    fn deref(&self) -> &Object {
        self.0.as_ref().expect("a lease holds its connection")
    }
}

impl DerefMut for Lease {
    #[expect(
        clippy::expect_used,
        reason = "only giving back takes it, and that consumes the lease"
    )]
    fn deref_mut(&mut self) -> &mut Object {
        self.0.as_mut().expect("a lease holds its connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
