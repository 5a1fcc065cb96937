//! Tables, brought up to date before anything else is asked.
//!
//! Any number of trackers may start at once: one of them migrates, the others wait for it and find nothing to do. A
//! migration is one transaction; a database written by a newer version is refused.

use super::{connect::Connector, described};
use crate::storage::StoreError;
use std::time::Duration;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::Client;

/// Who migrates holds this advisory lock of the database: "p2p" and a number.
const LOCK: i64 = 0x70_32_70_01;

/// How long to wait for a server: as long as a service manager would before it tries again.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a migration may take, the wait for another tracker's included. A new index on millions of rows takes minutes.
const MIGRATE: Duration = Duration::from_secs(600);

mod migrations {
    refinery::embed_migrations!("../sql/postgres");
}

/// Brings the tables up to date. How many migrations there were to do.
pub(super) async fn migrate(connector: Connector) -> Result<usize, StoreError> {
    let attempt = timeout(CONNECT, connector.connect_any()).await;
    let (mut client, connection) = match attempt {
        Ok(connected) => connected?,
        Err(_) => return Err(StoreError::Unreachable(format!("no answer within {CONNECT:?}"))),
    };
    let done = timeout(MIGRATE, run(&mut client)).await;
    end(client, connection).await;
    done.unwrap_or_else(|_| {
        Err(StoreError::Database(format!(
            "migrating took longer than {MIGRATE:?}"
        )))
    })
}

async fn run(client: &mut Client) -> Result<usize, StoreError> {
    client
        .batch_execute(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        )
        .await?;
    // Held by the session: whatever happens to us, it ends with the connection.
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let report = migrations::migrations::runner()
        .run_async(client)
        .await
        .map_err(|error| StoreError::Database(reason(&error)))?;
    let done = report.applied_migrations();
    for migration in done {
        tracing::info!(%migration, "database migrated");
    }
    Ok(done.len())
}

/// The error and what is below it: refinery itself says only which step failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error
            .downcast_ref::<tokio_postgres::Error>()
            .map_or_else(|| error.to_string(), described);
        text = format!("{text}: {part}");
        next = error.source();
    }
    text
}

async fn end(client: Client, connection: JoinHandle<()>) {
    drop(client);
    // Ends with its client; whether it crashed on the way is of no more interest.
    drop(timeout(CONNECT, connection).await);
}
