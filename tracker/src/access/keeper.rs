//! Keeps keys and bans in step with the store, whoever changed them there: this tracker, another replica, the command line.
//!
//! The actor does nothing but look at the clock; stateless, so a crash of it costs a look. What keys were used for goes to the store in
//! groups: a kill costs at most [`SAVE`] of it.

use super::Access;
use crate::{
    registry::RegistryHandle,
    relay::RelayHandle,
    storage::{Store, StoreError, StoredKey, Write, writer::StoreWriterHandle},
};
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, ContextFutureSpawner as _, Handler, Message,
    WrapFuture as _,
};
use fail::fail_point;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How often the store is asked: what was changed elsewhere counts here after this and the time of a query, less than 5 s.
pub(crate) const POLL: Duration = Duration::from_secs(2);

/// How often the store is told what keys were used for.
pub(crate) const SAVE: Duration = Duration::from_secs(10);

/// Reads and writes what access is about. Clones share it.
#[derive(Clone)]
pub(crate) struct Keeper {
    access: Access,
    store: Arc<dyn Store>,
    writer: StoreWriterHandle,
    registry: RegistryHandle,
    relay: RelayHandle,
    /// One reads at a time, so that nothing older takes the place of something newer.
    turn: Arc<Mutex<()>>,
}

impl Keeper {
    pub(crate) fn new(
        access: Access,
        store: Arc<dyn Store>,
        writer: StoreWriterHandle,
        registry: RegistryHandle,
        relay: RelayHandle,
    ) -> Self {
        Self {
            access,
            store,
            writer,
            registry,
            relay,
            turn: Arc::default(),
        }
    }

    /// Reads keys and bans anew; they count when this comes back, and peers that are newly banned are gone.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let keys = self.store.keys().await?;
        self.count(keys).await
    }

    /// Lets these keys count, and the bans of the store; for the start, when there may be a key that is not in the store yet.
    pub(crate) async fn begin(&self, keys: Vec<StoredKey>) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.count(keys).await
    }

    async fn count(&self, keys: Vec<StoredKey>) -> Result<(), StoreError> {
        let bans = self.store.bans().await?;
        for peer in self.access.replace(keys, bans) {
            match self.registry.expel(peer).await {
                Ok(Some(key)) => self.relay.expel(key).await,
                Ok(None) => {}
                // It is refused whatever it asks for, so its lease ends.
                Err(error) => tracing::warn!(%peer, %error, "a banned peer was not taken out"),
            }
        }
        Ok(())
    }

    /// Tells the store what keys were used for.
    pub(crate) async fn save(&self) {
        let uses = self.access.take_uses();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = self.writer.commit(Write::UseKeys(uses.clone())).await {
            tracing::warn!(%error, "what keys were used for was not saved");
            self.access.give_back(uses);
        }
    }

    async fn look(&self, save: bool) {
        if save {
            self.save().await;
        }
        if let Err(error) = self.reload().await {
            // The keys that are known count on.
            tracing::warn!(%error, "keys could not be read");
        }
    }
}

/// Time passed.
#[derive(Message)]
#[rtype(result = "()")]
struct LookTick;

/// Looks again and again.
pub(crate) struct AccessKeeper {
    keeper: Keeper,
    saved: Instant,
    is_looking: bool,
}

impl AccessKeeper {
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self {
            keeper,
            saved: Instant::now(),
            is_looking: false,
        }
    }
}

impl Actor for AccessKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(LookTick);
        ctx.run_interval(POLL, |_, ctx| ctx.notify(LookTick));
    }
}

impl Handler<LookTick> for AccessKeeper {
    type Result = ();

    fn handle(&mut self, LookTick: LookTick, ctx: &mut Self::Context) {
        fail_point!("AccessKeeper::LookTick");
        if std::mem::replace(&mut self.is_looking, true) {
            return;
        }
        let save = self.saved.elapsed() >= SAVE;
        if save {
            self.saved = Instant::now();
        }
        let keeper = self.keeper.clone();
        async move { keeper.look(save).await }
            .into_actor(self)
            .map(|(), actor, _| actor.is_looking = false)
            .spawn(ctx);
    }
}
