//! Wake-ups between threads, gathered: a group of events wakes a worker once.
//!
//! In: a future that another thread completes (the journal's committer, the Kafka client's). Out: the same future, whose
//! wake-up the other thread only leaves in a list; the first entry of an empty list wakes the event loop, which then wakes
//! all of them itself. A thread that wakes a task of another event loop makes a system call each time, and
//! group commits answer dozens of events at once.

use std::{
    cell::OnceCell,
    future::poll_fn,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
};

use tokio::sync::Notify;

thread_local! {
    /// This thread's list, once [`serve`] has run on it.
    static HERE: OnceCell<Arc<Gathered>> = const { OnceCell::new() };
}

/// The tasks of one event loop that other threads have woken.
#[derive(Debug, Default)]
struct Gathered {
    /// `None` while nobody empties it: then everyone is woken at once.
    tasks: Mutex<Option<Vec<Waker>>>,
    filled: Notify,
}

/// Empties this thread's list for as long as its event loop runs, which must stay on the thread. Where it does not run,
/// [`gather`] is the plain future.
pub async fn serve() {
    let here = HERE.with(|here| Arc::clone(here.get_or_init(Arc::default)));
    here.tasks().get_or_insert_default();
    let _open = Open(Arc::clone(&here));
    let mut tasks = Vec::new();
    loop {
        here.filled.notified().await;
        if let Some(list) = here.tasks().as_mut() {
            mem::swap(&mut tasks, list);
        }
        tasks.drain(..).for_each(Waker::wake);
    }
}

/// A list that somebody empties; dropped, whoever is in it is woken, and later ones wake by themselves.
struct Open(Arc<Gathered>);

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.tasks().take();
        left.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The same future, woken through the list of the thread that polls it.
pub async fn gather<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut bell: Option<Arc<Bell>> = None;
    poll_fn(|cx| {
        if bell.as_ref().is_none_or(|bell| !bell.task.will_wake(cx.waker())) {
            let here = HERE.with(|here| here.get().map(Arc::clone));
            bell = here.map(|here| Arc::new(Bell { task: cx.waker().clone(), here }));
        }
        match &bell {
            Some(bell) => future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell)))),
            None => future.as_mut().poll(cx),
        }
    })
    .await
}

impl Gathered {
    /// A panic elsewhere leaves a list that is still whole.
    fn tasks(&self) -> MutexGuard<'_, Option<Vec<Waker>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another thread rings.
struct Bell {
    task: Waker,
    here: Arc<Gathered>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut tasks = self.here.tasks();
        let Some(list) = tasks.as_mut() else {
            drop(tasks);
            return self.task.wake_by_ref();
        };
        list.push(self.task.clone());
        let first = list.len() == 1;
        drop(tasks);
        if first {
            self.here.filled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    /// Many tasks, woken by two other threads at once: none is forgotten.
    #[test]
    fn everybody_wakes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(serve());
            tokio::task::yield_now().await;
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..2_000).map(|_| oneshot::channel()).unzip();
            let tasks: Vec<_> = receivers.into_iter().map(|told| tokio::spawn(gather(told))).collect();
            tokio::task::yield_now().await;
            let mut senders = senders.into_iter();
            let half: Vec<_> = senders.by_ref().take(1_000).collect();
            let threads = [half, senders.collect()].map(|senders| {
                thread::spawn(move || {
                    senders.into_iter().for_each(|sender: oneshot::Sender<()>| sender.send(()).unwrap())
                })
            });
            for task in tasks {
                timeout(Duration::from_secs(10), task).await.expect("woken").unwrap().unwrap();
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[tokio::test]
    async fn a_group_is_gathered_while_somebody_serves() {
        let server = tokio::spawn(serve());
        tokio::task::yield_now().await;
        let here = HERE.with(|here| here.get().map(Arc::clone)).unwrap();
        let listed = || here.tasks().as_ref().map(Vec::len);
        let group = || -> (Vec<_>, Vec<_>) { (0..30).map(|_| oneshot::channel::<()>()).unzip() };
        let [(tell, told), (tell_later, told_later)] = [group(), group()];
        let tasks: Vec<_> = told.into_iter().chain(told_later).map(|told| tokio::spawn(gather(told))).collect();
        timeout(Duration::from_secs(10), async {
            // All of them wait now.
            tokio::time::sleep(Duration::from_millis(20)).await;
            tell.into_iter().for_each(|tell| tell.send(()).unwrap());
            assert_eq!(listed(), Some(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(listed(), Some(0));
            server.abort();
            assert!(server.await.is_err());
            tell_later.into_iter().for_each(|tell| tell.send(()).unwrap());
            assert_eq!(listed(), None);
            for task in tasks {
                task.await.unwrap().unwrap();
            }
        })
        .await
        .expect("all of them wake");
    }

    #[tokio::test]
    async fn without_a_list_it_is_the_plain_future() {
        let (tell, told) = oneshot::channel();
        let waiting = tokio::spawn(gather(told));
        tokio::task::yield_now().await;
        tell.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }
}
