//! The work on one event. It runs in the task that waits for it, which spares nearly every event a task and a wake-up;
//! dropped before its end, it becomes a task: an event that was verified does not depend on its sender's patience.

use std::{future::poll_fn, panic::AssertUnwindSafe, pin::Pin, thread};

use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::oneshot::{Receiver, error::RecvError},
};

/// A panic ends the work and nothing else: its channel closes without a value.
pub(super) struct Work(Option<Pin<Box<dyn Future<Output = thread::Result<()>> + Send>>>);

impl Work {
    pub(super) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        // After a panic the work is dropped, and nothing reads what it left half done.
        Work(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
    }

    /// Works until the work itself has sent the answer; what is left then goes on in a task.
    pub(super) async fn until<T>(&mut self, mut rx: Receiver<T>) -> Result<T, RecvError> {
        poll_fn(|cx| {
            if let Some(work) = &mut self.0
                && work.as_mut().poll(cx).is_ready()
            {
                self.0 = None;
            }
            Pin::new(&mut rx).poll(cx)
        })
        .await
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Where no event loop runs any more the process ends, and what is not durable was not answered.
        if let (Some(work), Ok(here)) = (self.0.take(), Handle::try_current()) {
            here.spawn(work);
        }
    }
}
