//! Paths through NATs: what two peers say to each other through a relay before they punch, and what comes of it.
//!
//! Promises one conversation at a time with a peer, at most [`CONVERSATIONS`] in all and [`ASKED`] that others began, each with an
//! end within seconds; that probes go only where [`super::manners`] lets them;
//! that offers of others are answered unless the policy, or a file that is wanted of that very peer through relays only, hides
//! where we are; and that whoever is at the other end of the hole proves its key before a session begins. When a round
//! begins is the [schedule](p2p_shared::holepunch::schedule)'s to decide, when it is tried again [`super::path`]'s.

use super::{
    direct::Caller,
    hint::RelayAddress,
    host::Host,
    manners::Manners,
    state::Dialler,
    whereabouts::{Whereabouts, look_around},
};
use crate::{
    client::TrackerClientHandle,
    event::PathKind,
    p2p::greeting::{Greeted, GreetingError, answer, greet},
    relay::{RelayHandle, SignalError},
    udp::{PunchError, PunchedPath, StunServer, UdpHandle},
};
use p2p_shared::{
    crypto::{
        handshake::Carrier,
        sealed::{self, SealedError},
    },
    holepunch::{
        burst::Round,
        candidate::{Candidate, Loopback},
        probe::Role,
        schedule::{Ours, Schedule, ScheduleAction},
        signal::{PunchSignal, RoundNonce},
    },
    id::PublicKey,
    protocol::EncodeError,
    supervision::keep,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    time,
};

/// Conversations about punching at a time.
const CONVERSATIONS: usize = 64;
/// So many of them may have been begun by others: keys cost nothing, and who has many must not keep us from punching ourselves.
const ASKED: usize = 32;
/// Signals of one peer that wait: an honest one sends three a round.
const SIGNALS: usize = 8;
/// How long the other end of a hole may take to prove who it is.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a conversation waits until a tracker said where we are seen.
const FIRST_LOOK: Duration = Duration::from_secs(4);

/// What punching is started with.
#[derive(Clone)]
pub struct PunchParts {
    /// The UDP port.
    pub udp: UdpHandle,
    /// Where trackers are, and what they answer STUN on.
    pub client: TrackerClientHandle,
    /// Further servers that say how others see us.
    pub stun: Vec<StunServer>,
}

/// Why no hole was punched.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHole {
    #[error("there is a conversation about it already, or too many of them")]
    Busy,
    #[error("no relay to say it through")]
    NoRelay,
    #[error("the other side did not answer")]
    NoAnswer,
    #[error("there is no UDP socket")]
    NoSocket,
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Seal(#[from] SealedError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error(transparent)]
    Punch(#[from] PunchError),
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    #[error("somebody else is at the other end of the hole")]
    SomebodyElse,
}

/// Who talks with whom about punching. Clones are the same one.
#[derive(Clone)]
pub(super) struct Puncher {
    udp: UdpHandle,
    relays: RelayHandle,
    whereabouts: watch::Receiver<Whereabouts>,
    conversations: Arc<Mutex<HashMap<PublicKey, Talk>>>,
    manners: Arc<Mutex<Manners>>,
}

/// A conversation under way, as others find it.
struct Talk {
    tell: mpsc::Sender<PunchSignal>,
    by: Dialler,
}

/// One conversation; over when dropped.
struct Conversation {
    puncher: Puncher,
    key: PublicKey,
    signals: mpsc::Receiver<PunchSignal>,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.puncher.lock().remove(&self.key);
    }
}

impl Puncher {
    /// Looks where we are from now on.
    pub(super) fn start(parts: PunchParts, relays: RelayHandle) -> Self {
        let (found, whereabouts) = watch::channel(Whereabouts::default());
        let udp = parts.udp.clone();
        let of_looking = relays.clone();
        keep("whereabouts", move || {
            look_around(parts.clone(), of_looking.clone(), found.clone())
        });
        Self {
            udp,
            relays,
            whereabouts,
            conversations: Arc::default(),
            manners: Arc::default(),
        }
    }

    /// How often there was an address of ours that had not been there before.
    pub(super) fn moves(&self) -> u64 {
        self.whereabouts.borrow().moves
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, Talk>> {
        // Only whole entries are put in and taken out.
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A conversation with `key`, begun `by` one of both.
    fn begin(&self, key: PublicKey, by: Dialler) -> Result<Conversation, NoHole> {
        let mut conversations = self.lock();
        let asked = conversations.values().filter(|talk| talk.by == Dialler::Them);
        let is_full = by == Dialler::Them && asked.count() >= ASKED;
        if is_full || conversations.len() >= CONVERSATIONS || conversations.contains_key(&key) {
            return Err(NoHole::Busy);
        }
        let (tell, signals) = mpsc::channel(SIGNALS);
        conversations.insert(key, Talk { tell, by });
        Ok(Conversation {
            puncher: self.clone(),
            key,
            signals,
        })
    }

    /// A signal for a conversation that goes on; back, if there is none.
    fn pass(&self, from: &PublicKey, signal: PunchSignal) -> Option<PunchSignal> {
        match self.lock().get(from) {
            // One too many is lost, as any signal may be.
            Some(talk) => {
                talk.tell.try_send(signal).ok();
                None
            }
            None => Some(signal),
        }
    }

    /// Aims a round where it may be aimed.
    fn aim(&self, round: Round) -> Round {
        // A panic in between leaves counts that are still counts.
        let mut manners = self.manners.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = manners.aim(round.candidates, now());
        Round { candidates, ..round }
    }

    /// Punches a hole to `key`, asking for it through the first of these relays that takes a word.
    pub(super) async fn reach(
        &self,
        caller: &Caller,
        key: PublicKey,
        at: &[RelayAddress],
    ) -> Result<(Greeted, Dialler), NoHole> {
        let mut last = NoHole::NoRelay;
        for relay in at {
            match self.begin(key, Dialler::Us)?.hold(caller, relay, None).await {
                Err(error @ NoHole::Signal(_)) => last = error,
                held => return held,
            }
        }
        Err(last)
    }
}

impl Conversation {
    /// From the first word, ours or `heard`, to a greeted connection.
    async fn hold(
        mut self,
        caller: &Caller,
        at: &RelayAddress,
        heard: Option<PunchSignal>,
    ) -> Result<(Greeted, Dialler), NoHole> {
        let candidates = self.candidates().await;
        let mut schedule = Schedule::new(&caller.identity.public_key(), self.key);
        let mut heard = heard;
        if heard.is_none() {
            schedule.want(now());
        }
        loop {
            let ours = self.ours(caller, &candidates)?;
            let actions = match heard.take() {
                Some(signal) => schedule.on_signal(now(), &ours, signal),
                None => schedule.on_tick(now(), &ours),
            };
            if let Some(round) = self.say(caller, at, actions).await? {
                let punched = self.puncher.udp.punch(self.puncher.aim(round)).await?;
                return self.greet(caller, punched).await;
            }
            let deadline = schedule.deadline().ok_or(NoHole::NoAnswer)?;
            let signal = time::timeout_at(deadline.into(), self.signals.recv()).await;
            heard = Some(signal.ok().flatten().ok_or(NoHole::NoAnswer)?);
        }
    }

    async fn candidates(&self) -> Arc<[Candidate]> {
        let mut whereabouts = self.puncher.whereabouts.clone();
        let first = time::timeout(FIRST_LOOK, whereabouts.wait_for(|found| found.is_whole)).await;
        // Too late, or over: with what is known; the other side's may do.
        drop(first);
        whereabouts.borrow().candidates.clone()
    }

    fn ours<'a>(&self, caller: &'a Caller, candidates: &'a [Candidate]) -> Result<Ours<'a>, NoHole> {
        let mut nonce = RoundNonce([0; 16]);
        getrandom::fill(&mut nonce.0).map_err(NoHole::Random)?;
        Ok(Ours {
            identity: &caller.identity,
            certificate: self.puncher.udp.certificate().ok_or(NoHole::NoSocket)?,
            candidates,
            loopback: Loopback::Refused,
            nonce,
        })
    }

    /// Says what is to be said; the round that begins, if one does.
    async fn say(
        &self,
        caller: &Caller,
        at: &RelayAddress,
        actions: Vec<ScheduleAction>,
    ) -> Result<Option<Round>, NoHole> {
        let mut begun = None;
        for action in actions {
            match action {
                ScheduleAction::Send(signal) => {
                    let sealed = sealed::seal(&caller.identity, &self.key, &signal.encode()?)?;
                    self.puncher.relays.signal(at, self.key, sealed).await?;
                }
                ScheduleAction::Begin(round) => begun = Some(round),
            }
        }
        Ok(begun)
    }

    async fn greet(&self, caller: &Caller, punched: PunchedPath) -> Result<(Greeted, Dialler), NoHole> {
        let Caller {
            identity,
            hello,
            receiving,
        } = caller.clone();
        let (wire, carrier) = (punched.wire, Carrier::Quic);
        let greeting = async {
            match punched.role {
                Role::Client => {
                    let greeted = greet(wire, &identity, &self.key, carrier, hello, receiving).await?;
                    Ok((greeted, Dialler::Us))
                }
                Role::Server => {
                    let greeted = answer(wire, &identity, carrier, hello, receiving).await?;
                    Ok((greeted, Dialler::Them))
                }
            }
        };
        let greeted: Result<_, GreetingError> = time::timeout(DEADLINE, greeting)
            .await
            .map_err(|_| NoHole::NoAnswer)?;
        let (greeted, dialler) = greeted?;
        if greeted.remote != self.key {
            return Err(NoHole::SomebodyElse);
        }
        Ok((greeted, dialler))
    }
}

impl Host {
    /// Somebody has something to say about punching.
    pub(super) fn on_signal(&self, from: PublicKey, at: RelayAddress, sealed: &[u8]) {
        let Some(puncher) = self.puncher.clone() else {
            return;
        };
        if !self.policy.allows(PathKind::Punched) || self.roster.look().is_hidden_from(&from) {
            return;
        }
        let opened = sealed::open(&self.caller.identity, &from, sealed);
        let Ok(signal) = opened.map(|bytes| PunchSignal::decode(&bytes)) else {
            tracing::debug!(peer = %from, "a signal that cannot be opened");
            return;
        };
        let Ok(signal) = signal else {
            tracing::debug!(peer = %from, "a signal that says nothing");
            return;
        };
        let Some(signal) = puncher.pass(&from, signal) else {
            return;
        };
        let Ok(conversation) = puncher.begin(from, Dialler::Them) else {
            return;
        };
        let host = self.clone();
        tokio::spawn(async move {
            match conversation.hold(&host.caller, &at, Some(signal)).await {
                Ok((greeted, dialler)) => host.begin(greeted, dialler).await,
                Err(error) => tracing::debug!(peer = %from, %error, "no hole was punched for a peer"),
            }
        });
    }
}

fn now() -> Instant {
    time::Instant::now().into_std()
}
