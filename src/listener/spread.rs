//! Which worker serves a connection: the one with the fewest.
//!
//! The worker that is awake first accepts a connection, and the busiest is awake most: left to that, one worker has two
//! thirds of the connections and the other waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{net::TcpStream, runtime::Handle};

/// All workers, as one of them sees them.
#[derive(Debug, Clone)]
pub struct Spread {
    workers: Arc<[Worker]>,
    own: usize,
}

#[derive(Debug)]
struct Worker {
    event_loop: Handle,
    connections: AtomicUsize,
}

/// One connection of a worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    workers: Arc<[Worker]>,
    worker: usize,
}

impl Spread {
    /// One for each of the event loops, in their order.
    pub fn over(event_loops: impl IntoIterator<Item = Handle>) -> Vec<Spread> {
        let worker = |event_loop| Worker { event_loop, connections: AtomicUsize::new(0) };
        let workers: Arc<[Worker]> = event_loops.into_iter().map(worker).collect();
        (0..workers.len()).map(|own| Spread { workers: Arc::clone(&workers), own }).collect()
    }

    /// Begins to serve a connection that this worker has accepted, on the event loop of the worker with the fewest; on this
    /// one, if no other has fewer.
    pub(super) fn begin(&self, stream: TcpStream, begin: impl FnOnce(TcpStream, Place) + Send + 'static) {
        let place = self.place();
        if place.worker == self.own {
            return begin(stream, place);
        }
        // It leaves one event loop and enters the other.
        let moved = stream.into_std().inspect_err(|error| tracing::warn!(%error, "a connection is lost"));
        let (Ok(stream), Some(worker)) = (moved, place.worker()) else { return };
        worker.event_loop.clone().spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => begin(stream, place),
                Err(error) => tracing::warn!(%error, "a connection is lost"),
            }
        });
    }

    fn place(&self) -> Place {
        let connections = |worker: &usize| self.workers.get(*worker).map(Worker::connections);
        let count = self.workers.len();
        // Among several this one first.
        let fewest = (0..count).map(|next| (self.own + next) % count).min_by_key(connections);
        let place = Place { workers: Arc::clone(&self.workers), worker: fewest.unwrap_or(self.own) };
        if let Some(worker) = place.worker() {
            worker.connections.fetch_add(1, Ordering::Relaxed);
        }
        place
    }
}

impl Worker {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Place {
    fn worker(&self) -> Option<&Worker> {
        self.workers.get(self.worker)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(worker) = self.worker() {
            worker.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    #[test]
    fn each_connection_goes_to_a_worker_with_the_fewest_and_leaves_it() {
        let runtimes: Vec<Runtime> = (0..3).map(|_| Builder::new_current_thread().build().unwrap()).collect();
        let spread = Spread::over(runtimes.iter().map(|runtime| runtime.handle().clone()));
        let counts = || spread[0].workers.iter().map(Worker::connections).collect::<Vec<_>>();
        // One worker accepts all of them.
        let mut places: Vec<Place> = (0..7).map(|_| spread[1].place()).collect();
        assert_eq!(counts(), [2, 3, 2]);
        places.retain(|place| place.worker != 2);
        assert_eq!(counts(), [2, 3, 0]);
        assert_eq!([spread[1].place().worker, spread[0].place().worker], [2, 2]);
        places.clear();
        assert_eq!(counts(), [0, 0, 0]);
        assert_eq!([0, 1, 2].map(|own| spread[own].place().worker), [0, 1, 2], "no other has fewer");
    }
}
