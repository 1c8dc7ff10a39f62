//! Which worker serves a connection: the one with the fewest.
//!
//! The worker that is awake first accepts a connection, and the one that accepted the last is awake still: left to that, one
//! worker has all of a pool that a proxy opens at a quiet time. Connections are counted, not what comes over them. Two workers
//! that accept at once may choose the same third one; the next connections make up for it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::TcpStream, runtime::Handle};

use super::opened::Opened;
use crate::wake;

/// What is added to the connections of a worker that accepts no more, so that it has the fewest never again.
const NO_MORE: usize = usize::MAX / 2;

/// All workers, as the one sees them that owns this: for as long as it lives, that worker takes connections.
#[derive(Debug)]
pub struct Spread {
    /// The own one first.
    workers: Vec<Arc<Worker>>,
}

#[derive(Debug)]
struct Worker {
    event_loop: Handle,
    connections: AtomicUsize,
}

/// One connection of a worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Worker>);

impl Spread {
    /// One for each of the event loops, in their order.
    pub fn over(event_loops: impl IntoIterator<Item = Handle>) -> Vec<Spread> {
        let worker = |event_loop| Arc::new(Worker { event_loop, connections: AtomicUsize::new(0) });
        let workers: Vec<_> = event_loops.into_iter().map(worker).collect();
        let seen_by = |own: usize| Spread { workers: [&workers[own..], &workers[..own]].concat() };
        (0..workers.len()).map(seen_by).collect()
    }

    /// Spawns what serves a connection that the own worker has accepted: on the event loop of the worker with the fewest, on the
    /// own one if no other has fewer.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        opened: Opened,
        serve: impl FnOnce(Opened, Place) -> F + Send + 'static,
    ) {
        let Some(place) = self.place() else { return };
        if self.workers.first().is_some_and(|own| Arc::ptr_eq(own, &place.0)) {
            drop(tokio::spawn(wake::gather(Box::pin(serve(opened, place)))));
            return;
        }
        let Opened { stream, peer } = opened;
        let lost = move |error: &io::Error| tracing::warn!(%error, %peer, "a connection is closed: its worker cannot take it over");
        // It leaves this event loop here, and enters the other one there.
        let Ok(stream) = stream.into_std().inspect_err(lost) else { return };
        let event_loop = place.0.event_loop.clone();
        event_loop.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream).inspect_err(lost) else { return };
            wake::gather(Box::pin(serve(Opened { stream, peer }, place))).await;
        });
    }

    fn place(&self) -> Option<Place> {
        // The first of several.
        let fewest = self.workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed))?;
        fewest.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(fewest)))
    }
}

impl Drop for Spread {
    /// Its worker accepts no more, or has died: it would have the fewest for good.
    fn drop(&mut self) {
        if let Some(own) = self.workers.first() {
            own.connections.fetch_add(NO_MORE, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    #[test]
    fn each_connection_goes_to_a_worker_with_the_fewest_and_leaves_it() {
        let runtimes: Vec<Runtime> = (0..3).map(|_| Builder::new_current_thread().build().unwrap()).collect();
        let mut spread = Spread::over(runtimes.iter().map(|runtime| runtime.handle().clone()));
        let workers: Vec<_> = spread.iter().map(|spread| Arc::clone(&spread.workers[0])).collect();
        let number = |place: &Place| workers.iter().position(|worker| Arc::ptr_eq(worker, &place.0)).unwrap();
        let counts = || [0, 1, 2].map(|worker: usize| workers[worker].connections.load(Ordering::Relaxed));
        // One worker accepts all of them.
        let mut places: Vec<Place> = (0..7).map(|_| spread[1].place().unwrap()).collect();
        assert_eq!(counts(), [2, 3, 2]);
        places.retain(|place| number(place) != 2);
        assert_eq!(counts(), [2, 3, 0]);
        assert_eq!([1, 0].map(|own| number(&spread[own].place().unwrap())), [2, 2]);
        places.clear();
        assert_eq!([0, 1, 2].map(|own| number(&spread[own].place().unwrap())), [0, 1, 2], "no other has fewer");

        drop(spread.remove(0));
        let places: Vec<_> = (0..100).map(|_| number(&spread[0].place().unwrap())).collect();
        assert!(!places.contains(&0), "nothing for one that accepts no more: {places:?}");
        drop(spread.remove(0));
        drop(places);
        assert_eq!(number(&spread[0].place().unwrap()), 2);
    }
}
