//! What is not counted but is so at the moment: looked at when somebody asks.

use super::{Metrics, names};
use crate::{api::Api, registry::Totals, storage::PoolStatus};
use metrics::Label;
use p2p_shared::tracker_api::RelayStats;
use std::time::Duration;

/// How long the registry may take to answer: Prometheus waits 10 s for everything.
const PATIENCE: Duration = Duration::from_secs(1);

/// All numbers as text, in Prometheus's format (version 0.0.4), those of the moment as they are now. What the registry does not tell in
/// time is `NaN`, so that a tracker in trouble can still be looked at.
pub(crate) async fn text(api: &Api) -> String {
    let metrics = &api.metrics;
    let totals = match tokio::time::timeout(PATIENCE, api.registry.totals()).await {
        Ok(Ok(totals)) => Some(totals),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the registry's numbers are not known");
            None
        }
        Err(_) => {
            tracing::warn!("the registry does not tell its numbers");
            None
        }
    };
    set_totals(metrics, totals);
    set_relay(metrics, api.relay.counters().stats());
    if let Some(pool) = api.store.pool() {
        set_pool(metrics, pool);
    }
    metrics
        .gauge(names::WATCHERS, Vec::new())
        .set(api.events.watchers() as f64);
    metrics
        .counter(names::EVENTS, Vec::new())
        .absolute(api.events.last());
    let version = Label::from_static_parts("version", env!("CARGO_PKG_VERSION"));
    metrics.gauge(names::BUILD, vec![version]).set(1.0);
    metrics
        .gauge(names::UPTIME, Vec::new())
        .set(api.clock.uptime().as_secs_f64());
    metrics.handle.render()
}

fn set_totals(metrics: &Metrics, totals: Option<Totals>) {
    let of = |number: fn(&Totals) -> u64| totals.as_ref().map_or(f64::NAN, |totals| number(totals) as f64);
    for (name, value) in [
        (names::PEERS, of(|totals| totals.peers_online)),
        (names::FILES, of(|totals| totals.files)),
        (names::SWARMS, of(|totals| totals.swarms)),
        (names::SEEDERS, of(|totals| totals.seeders)),
        (names::LEECHERS, of(|totals| totals.leechers)),
        (names::SHARED, of(|totals| totals.bytes_shared)),
    ] {
        metrics.gauge(name, Vec::new()).set(value);
    }
}

fn set_relay(metrics: &Metrics, relay: RelayStats) {
    metrics
        .gauge(names::RELAY_CONNECTIONS, Vec::new())
        .set(relay.connections as f64);
    metrics
        .gauge(names::RELAY_TUNNELS, Vec::new())
        .set(relay.tunnels as f64);
    metrics
        .counter(names::RELAY_BYTES, Vec::new())
        .absolute(relay.bytes);
    metrics
        .counter(names::RELAY_SIGNALS, Vec::new())
        .absolute(relay.signals);
    for (reason, count) in relay.refused {
        metrics
            .counter(names::RELAY_REFUSALS, vec![Label::new("reason", reason)])
            .absolute(count);
    }
}

fn set_pool(metrics: &Metrics, pool: PoolStatus) {
    for (state, connections) in [("idle", pool.idle), ("busy", pool.busy)] {
        let state = Label::from_static_parts("state", state);
        metrics.gauge(names::POOL, vec![state]).set(connections as f64);
    }
    metrics.gauge(names::POOL_MOST, Vec::new()).set(pool.most as f64);
    metrics
        .gauge(names::POOL_WAITING, Vec::new())
        .set(pool.waiting as f64);
}
