//! The workers: threads with an event loop each, which accept connections and serve them.

use std::{io, net::TcpListener as StdListener, sync::Arc, thread};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::watch,
};

use super::descriptors;
use crate::{
    intake::Gateway,
    listener::{self, Phase, Slots, Spread},
    wake,
};

/// The workers' threads.
pub(super) struct Workers {
    threads: Vec<thread::JoinHandle<()>>,
    /// Tells accept loops and connections how far the drain has come; closed when the last of them has ended.
    pub(super) phase: watch::Sender<Phase>,
    stop: watch::Sender<bool>,
    /// Their open connections.
    pub(super) slots: Slots,
}

impl Workers {
    pub(super) fn start(workers: usize, listener: &StdListener, gateway: &Arc<Gateway>) -> io::Result<Self> {
        let slots = Slots::new(descriptors::connections(gateway.limits.max_connections, workers));
        let (phase, phase_seen) = watch::channel(Phase::Open);
        let (stop, _) = watch::channel(false);
        let mut started = Workers { threads: Vec::with_capacity(workers), phase, stop, slots };
        let runtimes: io::Result<Vec<_>> =
            (0..workers).map(|_| Builder::new_current_thread().enable_all().build()).collect();
        let runtimes = runtimes?;
        let spread = Spread::over(runtimes.iter().map(|runtime| runtime.handle().clone()));
        for ((number, runtime), spread) in runtimes.into_iter().enumerate().zip(spread) {
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener.try_clone()?)?
            };
            let gateway = Arc::clone(gateway);
            let (slots, phase, stop) = (started.slots.clone(), phase_seen.clone(), started.stop.subscribe());
            let accept = move |gateway| listener::accept(listener, gateway, slots, spread, phase);
            let work = move || work(&runtime, number, &gateway, accept, stop);
            started.threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
        }
        Ok(started)
    }

    /// Ends the event loops and waits for their threads.
    pub(super) fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            // A worker that panicked has nothing left to finish.
            let _panicked = thread.join();
        }
    }
}

fn work<A: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    number: usize,
    gateway: &Arc<Gateway>,
    accept: impl FnOnce(Arc<Gateway>) -> A,
    mut stop: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        gateway.health.beat(number).map(|beat| tokio::spawn(beat.run()));
        tokio::spawn(wake::serve());
        gateway.delivery.bus().attach().await;
        tokio::spawn(accept(Arc::clone(gateway)));
        let _gone = stop.wait_for(|stop| *stop).await;
        gateway.delivery.bus().detach().await;
    });
}
