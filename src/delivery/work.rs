//! The work on one event. It runs in the task that waits for it, which spares nearly every event a task and a wake-up;
//! dropped before its end, it becomes a task: an event that was verified does not depend on its sender's patience.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::pending::Answer;

/// What work comes to.
pub(super) struct Done {
    answer: Answer,
    /// What is left to do after the answer.
    rest: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Done {
    /// The answer, and work that goes on behind it.
    pub(super) fn before(answer: Answer, rest: impl Future<Output = ()> + Send + 'static) -> Self {
        Done { answer, rest: Some(Box::pin(rest)) }
    }

    /// The same; `kept` lives until all of it is done.
    pub(super) fn keeping<T: Send + 'static>(self, kept: T) -> Self {
        let Done { answer, rest } = self;
        match rest {
            None => Done { answer, rest },
            Some(rest) => Done::before(answer, rest.map(|()| drop(kept))),
        }
    }
}

/// Nothing is left to do.
impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Done { answer, rest: None }
    }
}

/// Resolves with the answer; what is left to do goes on in a task. A panic ends the work and nothing else: then there is no
/// answer.
pub(super) struct Work(Option<Pin<Box<dyn Future<Output = thread::Result<Done>> + Send>>>);

impl Work {
    pub(super) fn new(work: impl Future<Output = Done> + Send + 'static) -> Self {
        // After a panic the work is dropped, and nothing reads what it left half done.
        Work(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
    }
}

impl Future for Work {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else { return Poll::Ready(None) };
        let done = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done.ok().map(|Done { answer, rest }| {
            if let Some(rest) = rest {
                spawn(rest);
            }
            answer
        }))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            spawn(async move {
                if let Ok(Done { rest: Some(rest), .. }) = work.await {
                    rest.await;
                }
            });
        }
    }
}

/// Where no event loop runs any more the process ends, and what is not durable was not answered.
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(here) = Handle::try_current() {
        here.spawn(work);
    }
}
