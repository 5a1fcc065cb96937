//! How others talk to a supervised actor: from any thread, across its crashes, within bounds.

use super::slot::{Incarnation, Slot};
use actix::{Actor, Addr, AsyncContext as _, Context, Handler, MailboxError, Message, fut::ActorFuture};
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{self, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout_at},
};

/// Why a message got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many messages are queued already. This one was not sent.
    #[error("busy")]
    Busy,
    /// The actor is not there: between two lives, or gone for good. The message was not sent.
    #[error("not running")]
    Down,
    /// No answer in time. The message is still carried out, sooner or later.
    #[error("no answer in time")]
    Timeout,
    /// The actor crashed or stopped before it answered. The message may have been carried out or not.
    #[error("crashed before it answered")]
    Crashed,
}

/// A way to a supervised actor, cheap to clone. Stays valid when the actor is rebuilt.
pub struct Handle<A: Actor> {
    name: &'static str,
    slot: watch::Receiver<Slot<A>>,
    permits: Arc<Semaphore>,
    deadline: Duration,
    /// Where a command goes on when its caller does not.
    runtime: runtime::Handle,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            slot: self.slot.clone(),
            permits: Arc::clone(&self.permits),
            deadline: self.deadline,
            runtime: self.runtime.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.name)
    }
}

impl<A: Actor<Context = Context<A>>> Handle<A> {
    pub(super) fn new(
        name: &'static str,
        slot: watch::Receiver<Slot<A>>,
        permits: usize,
        deadline: Duration,
    ) -> Self {
        Self {
            name,
            slot,
            permits: Arc::new(Semaphore::new(permits)),
            deadline,
            runtime: runtime::Handle::current(),
        }
    }

    /// The actor's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same way with another deadline for [`Self::call`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends a message and waits for the answer, all within the deadline. Waits its turn when too much is queued, and
    /// for the actor when it is being rebuilt. Once sent, the message is carried out even if the caller goes away.
    pub async fn call<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let until = Instant::now() + self.deadline;
        let permit = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| CallError::Busy)?
            .map_err(|_| CallError::Down)?;
        let address = timeout_at(until, self.address())
            .await
            .map_err(|_| CallError::Down)?;
        let command = self.send(&address.ok_or(CallError::Down)?, message, permit);
        match timeout_at(until, command).await {
            Ok(answer) => answer.map_err(|_| CallError::Crashed),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Sends a message that has no answer, now or not at all. Messages from one caller are handled in their order.
    pub fn tell<M>(&self, message: M) -> Result<(), CallError>
    where
        A: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| CallError::Busy)?;
        let address = self.slot.borrow().address().cloned().ok_or(CallError::Down)?;
        let mut command = pin!(self.send(&address, message, permit));
        // The first poll queues it; dropping the command lets it go on by itself.
        match command
            .as_mut()
            .poll(&mut task::Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Err(_)) => Err(CallError::Down),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Waits until the actor has started: the first message that it came to has been handled. An error means that it
    /// is gone for good.
    pub async fn up(&self) -> Result<Incarnation, CallError> {
        self.when(Slot::is_up).await.ok_or(CallError::Down)
    }

    /// Which life of the actor this is, or was last; 0 before the first.
    pub fn incarnation(&self) -> Incarnation {
        self.slot.borrow().incarnation
    }

    /// Whether the actor is gone for good.
    pub fn is_over(&self) -> bool {
        self.slot.borrow().is_over()
    }

    /// Waits until there is a later life of the actor than `seen`. An error means that there will be none.
    pub async fn rebuilt_since(&self, seen: Incarnation) -> Result<Incarnation, CallError> {
        let later = self.when(|slot| slot.incarnation > seen && slot.address().is_some());
        later.await.ok_or(CallError::Down)
    }

    /// Has another actor told about each later life of this one, for example to introduce itself again. Ends with the
    /// other actor or when this one is gone for good. (As long as it lasts, the other actor does not end merely because
    /// nobody holds its address.)
    pub fn follow<B: Actor<Context = Context<B>>>(
        &self,
        ctx: &mut Context<B>,
        on_rebuilt: impl FnMut(&mut B, Incarnation, &mut Context<B>) + Unpin + 'static,
    ) {
        let next = Box::pin(self.clone().next(self.incarnation()));
        ctx.spawn(Follow { next, on_rebuilt });
    }

    async fn next(self, seen: Incarnation) -> Option<(Self, Incarnation)> {
        let later = self.rebuilt_since(seen).await.ok()?;
        Some((self, later))
    }

    /// The address of a life that takes messages. One that has just crashed does not, although its keeper, perhaps on
    /// another thread, has not come to see it.
    async fn address(&self) -> Option<Addr<A>> {
        let alive = |slot: &Slot<A>| slot.address().is_some_and(Addr::connected);
        if !alive(&self.slot.borrow()) {
            self.when(alive).await?;
        }
        // Gone again in between: rare, and the next call finds out.
        self.slot.borrow().address().cloned()
    }

    /// Waits until the slot is as wanted; `None` when it never will be.
    async fn when(&self, wanted: impl Fn(&Slot<A>) -> bool) -> Option<Incarnation> {
        let mut slot = self.slot.clone();
        let found = slot.wait_for(|slot| slot.is_over() || wanted(slot)).await.ok()?;
        (!found.is_over()).then_some(found.incarnation)
    }

    fn send<M>(
        &self,
        address: &Addr<A>,
        message: M,
        permit: OwnedSemaphorePermit,
    ) -> Command<impl Future<Output = Result<M::Result, MailboxError>> + Send + use<A, M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Command {
            sent: Some((Box::pin(address.send(message)), permit)),
            runtime: self.runtime.clone(),
        }
    }
}

/// A message on its way, with the permit that it holds until it is handled. A plain `send` that is dropped takes its
/// message back from the mailbox; this one goes on in a task of its own.
struct Command<F: Future + Send + 'static> {
    sent: Option<(Pin<Box<F>>, OwnedSemaphorePermit)>,
    runtime: runtime::Handle,
}

impl<F: Future + Send + 'static> Future for Command<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let Some((sent, _)) = &mut self.sent else {
            // Polled after the end, which no caller does.
            return Poll::Pending;
        };
        let answer = ready!(sent.as_mut().poll(cx));
        self.sent = None;
        Poll::Ready(answer)
    }
}

impl<F: Future + Send + 'static> Drop for Command<F> {
    fn drop(&mut self) {
        if let Some((sent, permit)) = self.sent.take() {
            self.runtime.spawn(async move {
                sent.await;
                drop(permit);
            });
        }
    }
}

type Next<A> = Pin<Box<dyn Future<Output = Option<(Handle<A>, Incarnation)>>>>;

/// Waits, in the context of one actor, for the later lives of another.
struct Follow<A: Actor, F> {
    next: Next<A>,
    on_rebuilt: F,
}

impl<A, B, F> ActorFuture<B> for Follow<A, F>
where
    A: Actor<Context = Context<A>>,
    B: Actor<Context = Context<B>>,
    F: FnMut(&mut B, Incarnation, &mut Context<B>) + Unpin + 'static,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut B,
        ctx: &mut Context<B>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        while let Some((handle, incarnation)) = ready!(self.next.as_mut().poll(task)) {
            (self.on_rebuilt)(actor, incarnation, ctx);
            self.next = Box::pin(handle.next(incarnation));
        }
        Poll::Ready(())
    }
}
