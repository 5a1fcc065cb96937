//! One supervised child: built, watched, built again.

use super::{
    Handle, Life, Outcome, Restart, RestartBudget,
    budget::{Exit, Verdict},
    control::Control,
    life::{panic_text, payload_text, spawn_life},
    slot::SlotOwner,
    supervisor::{Escalation, Observer},
};
use actix::{Actor, Context};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, error, warn};

type Rebuild<A> = Box<dyn FnMut(&mut Context<A>) -> A>;
type BeforeStop<A> = Box<dyn FnOnce(Handle<A>) -> Pin<Box<dyn Future<Output = ()>>>>;
type OnEnd = Box<dyn FnOnce(Outcome)>;

/// How often a child is asked whether it still comes to its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The pause between an answer and the next question.
    pub every: Duration,
    /// How long an answer may take. What takes longer counts as a crash.
    pub within: Duration,
    /// How long it may take from its start to its first message, which is asked for at once.
    pub start: Duration,
}

impl Default for Probe {
    /// Asked every 5 s, 10 s for the answer: handlers take microseconds, so ten seconds are no accident of load. A
    /// minute for the start, which may read a little.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            within: Duration::from_secs(10),
            start: Duration::from_secs(60),
        }
    }
}

/// What a child is and how it is kept alive.
pub struct ChildSpec<A: Actor<Context = Context<A>>> {
    name: &'static str,
    rebuild: Rebuild<A>,
    restart: Restart,
    budget: RestartBudget,
    mailbox: usize,
    permits: usize,
    deadline: Duration,
    probe: Probe,
    before_stop: Option<BeforeStop<A>>,
    on_end: Option<OnEnd>,
    pub(super) escalate: Option<mpsc::UnboundedSender<Escalation>>,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl<A: Actor<Context = Context<A>>> ChildSpec<A> {
    /// A permanent child. `rebuild` makes the actor, at the start and after each crash, from what is durable; it
    /// runs on the actors' thread, so it must not take long (what does belongs into a task that the actor starts).
    /// Its own panics count as crashes of the child.
    pub fn new(name: &'static str, rebuild: impl FnMut(&mut Context<A>) -> A + 'static) -> Self {
        Self {
            name,
            rebuild: Box::new(rebuild),
            restart: Restart::Permanent,
            budget: RestartBudget::default(),
            mailbox: 64,
            permits: 64,
            deadline: Duration::from_secs(5),
            probe: Probe::default(),
            before_stop: None,
            on_end: None,
            escalate: None,
            observer: None,
        }
    }

    /// What its end means; [`Restart::Permanent`] if not said.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How many restarts it may use up; 5 in 60 s if not said.
    #[must_use]
    pub fn budget(mut self, budget: RestartBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How many messages through its [`Handle`]s may be queued or in work at once; 64 if not said. This is the
    /// bound that holds: actix's own takes one message more for each sender.
    #[must_use]
    pub fn permits(mut self, permits: usize) -> Self {
        self.permits = permits;
        self
    }

    /// The capacity of actix's mailbox, which bounds only `try_send` through one shared address; 64 if not said.
    #[must_use]
    pub fn mailbox(mut self, mailbox: usize) -> Self {
        self.mailbox = mailbox;
        self
    }

    /// How long a call through its [`Handle`]s may take; 5 s if not said.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How it is asked whether it is alive.
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// What is done before it is stopped (flush, say goodbye), within the time given for stopping.
    #[must_use]
    pub fn before_stop<F>(mut self, drain: impl FnOnce(Handle<A>) -> F + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.before_stop = Some(Box::new(|handle| Box::pin(drain(handle))));
        self
    }

    /// Who is told, once, how it ended for good. Called on the actors' thread; must not panic.
    #[must_use]
    pub fn on_end(mut self, tell: impl FnOnce(Outcome) + 'static) -> Self {
        self.on_end = Some(Box::new(tell));
        self
    }
}

/// Starts a child and keeps it alive as its specification says. Messages can be sent at once; they are handled
/// when the actor has started.
///
/// # Panics
///
/// Outside of a `LocalSet` (the thread of a [`system`](super::system())).
pub fn supervise<A: Actor<Context = Context<A>>>(spec: ChildSpec<A>) -> (Handle<A>, Life) {
    let (slot, seen) = SlotOwner::new();
    let handle = Handle::new(spec.name, seen, spec.permits, spec.deadline);
    let (stop, stopped) = oneshot::channel();
    let mut keeper = Keeper {
        name: spec.name,
        handle: handle.clone(),
        epoch: Instant::now(),
        slot,
        stop: Some(stopped),
        spec,
    };
    let name = keeper.name;
    let first = keeper.begin();
    let life = actix_rt::spawn(keeper.keep(first));
    (handle, Life::new(name, stop, life))
}

/// Keeps one child alive. Its task is the only one that starts, replaces and ends the child.
struct Keeper<A: Actor<Context = Context<A>>> {
    name: &'static str,
    handle: Handle<A>,
    /// What restarts are timed from.
    epoch: Instant,
    slot: SlotOwner<A>,
    /// Until when the child has to be gone, once somebody wants that. `None` when nobody can want it any more.
    stop: Option<oneshot::Receiver<Instant>>,
    spec: ChildSpec<A>,
}

/// One life of the child.
struct Running {
    control: Control,
    task: JoinHandle<()>,
}

/// How one life of the child ended.
enum LifeEnd {
    ByItself(Exit),
    Stopped { forced: bool },
}

impl<A: Actor<Context = Context<A>>> Keeper<A> {
    async fn keep(mut self, first: Result<Running, String>) -> Outcome {
        let outcome = self.live_again_and_again(first).await;
        debug!(actor = self.name, ?outcome, "actor is over");
        if let (Restart::Permanent, Outcome::GivenUp { reason }, Some(escalate)) =
            (self.spec.restart, &outcome, &self.spec.escalate)
        {
            let escalation = Escalation {
                child: self.name,
                reason: reason.clone(),
            };
            // An error means that the program is ending anyway: nobody waits for escalations any more.
            escalate.send(escalation).ok();
        }
        if let Some(tell) = self.spec.on_end.take() {
            tell(outcome.clone());
        }
        outcome
    }

    async fn live_again_and_again(&mut self, first: Result<Running, String>) -> Outcome {
        let mut begun = first;
        loop {
            let exit = match begun {
                Err(reason) => Exit::Crashed(reason),
                Ok(running) => match self.live(running).await {
                    LifeEnd::ByItself(exit) => exit,
                    LifeEnd::Stopped { forced } => return Outcome::Stopped { forced },
                },
            };
            self.slot.down();
            let pause = match self.verdict(exit) {
                Verdict::End(outcome) => return outcome,
                Verdict::Again(pause) => pause,
            };
            tokio::select! {
                biased;
                _ = stop_wanted(&mut self.stop) => return Outcome::Stopped { forced: false },
                () = sleep(pause) => {}
            }
            begun = self.begin();
        }
    }

    /// Builds the actor and starts it. An error is the message of a panic on the way.
    fn begin(&mut self) -> Result<Running, String> {
        let mut control = None;
        let rebuild = &mut self.spec.rebuild;
        let spawned = catch_unwind(AssertUnwindSafe(|| {
            spawn_life(self.spec.mailbox, |ctx| {
                control = Some(Control::install(ctx));
                rebuild(ctx)
            })
        }));
        match (spawned, control) {
            (Ok((address, task)), Some(control)) => {
                self.slot.starting(address);
                Ok(Running { control, task })
            }
            (Err(payload), _) => Err(payload_text(&*payload)),
            (Ok(_), None) => Err("the actor was not built".to_owned()),
        }
    }

    /// From the start of a life to its end.
    async fn live(&mut self, mut running: Running) -> LifeEnd {
        let mut started = false;
        loop {
            tokio::select! {
                biased;
                end = &mut running.task => return LifeEnd::ByItself(exit_of(end)),
                until = stop_wanted(&mut self.stop) => return self.end(running, until).await,
                answered = alive(&running.control, self.spec.probe, started) => {
                    match (answered, &self.spec.observer) {
                        (Err(patience), _) => return LifeEnd::ByItself(cut_off(running, patience).await),
                        (Ok(waited), Some(observer)) if started => observer.on_answer(self.name, waited),
                        _ => {}
                    }
                    if !started {
                        started = true;
                        self.slot.up();
                    }
                }
            }
        }
    }

    /// Lets the child be drained, within the time. In a task of its own: a panic there must not end the keeper, which
    /// would leave the child running with nobody to stop it.
    async fn drain(&mut self, until: Instant) {
        let Some(drain) = self.spec.before_stop.take() else {
            return;
        };
        let handle = self.handle.clone();
        let mut drained = actix_rt::spawn(async move { drain(handle).await });
        match timeout_at(until, &mut drained).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => {
                let reason = panic_text(end);
                error!(actor = self.name, reason, "draining an actor crashed");
            }
            Err(_) => {
                warn!(actor = self.name, "actor was not drained in time");
                drained.abort();
            }
        }
    }

    /// Stops the child in good order, or by force when the time is over.
    async fn end(&mut self, mut running: Running, until: Instant) -> LifeEnd {
        self.drain(until).await;
        running.control.stop();
        let Ok(end) = timeout_at(until, &mut running.task).await else {
            warn!(actor = self.name, "actor did not stop in time");
            running.task.abort();
            // It ends now, one way or the other.
            running.task.await.ok();
            return LifeEnd::Stopped { forced: true };
        };
        if let Exit::Crashed(reason) = exit_of(end) {
            error!(actor = self.name, reason, "actor crashed while it stopped");
        }
        LifeEnd::Stopped { forced: false }
    }

    fn verdict(&mut self, exit: Exit) -> Verdict {
        let incarnation = self.slot.incarnation().0;
        let told = exit.clone();
        let verdict = self
            .spec
            .budget
            .on_exit(self.spec.restart, exit, self.epoch.elapsed());
        match (&verdict, told) {
            (Verdict::Again(pause), exit) => {
                if let Some(observer) = &self.spec.observer {
                    observer.on_restart(self.name);
                }
                error!(
                    actor = self.name,
                    incarnation,
                    ?exit,
                    ?pause,
                    "actor is restarted"
                );
            }
            (Verdict::End(_), Exit::Crashed(reason)) => {
                error!(
                    actor = self.name,
                    incarnation, reason, "actor crashed and is not restarted"
                );
            }
            (Verdict::End(_), Exit::Finished) => {}
        }
        verdict
    }
}

/// Asks the child whether it is there, at once when it has just been started, and says how long the answer took. An error is how long it
/// was waited for.
async fn alive(control: &Control, probe: Probe, started: bool) -> Result<Duration, Duration> {
    let mut patience = probe.start;
    if started {
        sleep(probe.every).await;
        patience = probe.within;
    }
    let asked = Instant::now();
    let answered = timeout(patience, control.ping()).await;
    answered.map(|()| asked.elapsed()).map_err(|_| patience)
}

/// Ends a life that does not answer.
async fn cut_off(running: Running, patience: Duration) -> Exit {
    running.task.abort();
    // Cancelled, or it ended by itself in the last moment: in any case it is gone.
    running.task.await.ok();
    Exit::Crashed(format!("it did not come to its messages for {patience:?}"))
}

/// Waits until somebody wants the child to stop; for ever if nobody can any more.
async fn stop_wanted(stop: &mut Option<oneshot::Receiver<Instant>>) -> Instant {
    if let Some(wanted) = stop {
        if let Ok(until) = wanted.await {
            *stop = None;
            return until;
        }
        *stop = None;
    }
    std::future::pending().await
}

fn exit_of(end: Result<(), tokio::task::JoinError>) -> Exit {
    match end {
        Ok(()) => Exit::Finished,
        Err(error) => Exit::Crashed(panic_text(error)),
    }
}
