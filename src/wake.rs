//! Wake-ups between threads, gathered: one wake-up of an event loop serves a whole group of tasks.
//!
//! A thread that wakes a task of another thread's event loop makes a system call, and a group commit completes dozens of
//! tasks at once. With [`gather`], the completing thread (the journal's committer, the Kafka client's) only adds the task
//! to a list. The first entry of an empty list wakes the event loop, where [`serve`] wakes all tasks in the list.

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
    /// `None` while [`serve`] does not run: then each task is woken directly.
    tasks: Mutex<Option<Vec<Waker>>>,
    filled: Notify,
}

/// Wakes the tasks in this thread's list, without end. Spawn it once on each event loop that stays on one thread. On other
/// threads, [`gather`] changes nothing.
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

/// The list is open until this is dropped: then the tasks in it are woken, and later ones directly.
struct Open(Arc<Gathered>);

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.tasks().take();
        left.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The same future, whose task other threads wake through the list of the thread that polls it. One for a whole task is
/// enough. Small futures, or boxed ones: it holds room for two.
pub async fn gather<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // The task, and the waker that stands before it.
    let mut wakers: Option<(Waker, Waker)> = None;
    poll_fn(|cx| {
        let task = cx.waker();
        if wakers.as_ref().is_none_or(|(known, _)| !known.will_wake(task)) {
            let here = HERE.with(|here| here.get().map(Arc::clone));
            wakers = here.map(|here| (task.clone(), Arc::new(ListWaker { task: task.clone(), here }).into()));
        }
        match &wakers {
            Some((_, before)) => future.as_mut().poll(&mut Context::from_waker(before)),
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

/// The waker that the completing thread gets.
struct ListWaker {
    task: Waker,
    here: Arc<Gathered>,
}

impl Wake for ListWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Its own thread is awake.
        if HERE.try_with(|here| here.get().is_some_and(|here| Arc::ptr_eq(here, &self.here))).unwrap_or_default() {
            return self.task.wake_by_ref();
        }
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
    fn every_task_wakes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(serve());
            tokio::task::yield_now().await;
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..2_000).map(|_| oneshot::channel()).unzip();
            let tasks: Vec<_> = receivers.into_iter().map(|rx| tokio::spawn(gather(rx))).collect();
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
    async fn a_group_is_gathered_while_the_list_is_served() {
        let server = tokio::spawn(serve());
        tokio::task::yield_now().await;
        let here = HERE.with(|here| here.get().map(Arc::clone)).unwrap();
        let listed = || here.tasks().as_ref().map(Vec::len);
        let group = || -> (Vec<_>, Vec<_>) { (0..30).map(|_| oneshot::channel::<()>()).unzip() };
        let [(tx, rx), (tx_later, rx_later)] = [group(), group()];
        let tasks: Vec<_> = rx.into_iter().chain(rx_later).map(|rx| tokio::spawn(gather(rx))).collect();
        timeout(Duration::from_secs(10), async {
            // All of them wait now.
            tokio::time::sleep(Duration::from_millis(20)).await;
            thread::spawn(|| tx.into_iter().for_each(|tx| tx.send(()).unwrap())).join().unwrap();
            assert_eq!(listed(), Some(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(listed(), Some(0));
            server.abort();
            assert!(server.await.is_err());
            tx_later.into_iter().for_each(|tx| tx.send(()).unwrap());
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
        let (tx, rx) = oneshot::channel();
        let waiting = tokio::spawn(gather(rx));
        tokio::task::yield_now().await;
        tx.send(7).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }

    /// A future may move to another task between two polls: the last one that polled it is woken.
    #[tokio::test]
    async fn the_task_that_polled_last_is_woken() {
        let server = tokio::spawn(serve());
        tokio::task::yield_now().await;
        let (tx, rx) = oneshot::channel();
        let mut future = Box::pin(gather(rx));
        // This task looks once and gives the future away.
        assert!(timeout(Duration::ZERO, &mut future).await.is_err());
        let other = tokio::spawn(future);
        tokio::task::yield_now().await;
        tx.send(7).unwrap();
        let got = timeout(Duration::from_secs(10), other).await.expect("woken").unwrap();
        assert_eq!(got, Ok(7));
        server.abort();
    }

    /// Some channels wake by value, others by reference.
    #[tokio::test]
    async fn a_waker_that_is_used_up_wakes_too() {
        let server = tokio::spawn(serve());
        tokio::task::yield_now().await;
        let slot = Arc::new(Mutex::new(None::<Waker>));
        let polled = Arc::clone(&slot);
        let mut polls = 0;
        let waiting = tokio::spawn(gather(poll_fn(move |cx| {
            polls += 1;
            *polled.lock().unwrap() = Some(cx.waker().clone());
            if polls > 1 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })));
        tokio::task::yield_now().await;
        thread::spawn(move || slot.lock().unwrap().take().unwrap().wake()).join().unwrap();
        timeout(Duration::from_secs(10), waiting).await.expect("woken").unwrap();
        server.abort();
    }
}
