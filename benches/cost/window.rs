//! Windows: events that go through a gateway while something counts, and what each of them cost.

use std::{net::SocketAddr, path::Path};

use crate::{
    callgrind::{self, Work},
    copied,
    counted::Allocated,
    events::{Batch, Forge},
    hookbus::Gateway,
    kernel::{self, Perf, Seen, Wire},
    load::Load,
};

/// What serves HTTP: a gateway, or bare hyper.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub pid: u32,
    pub address: SocketAddr,
}

impl Server {
    pub fn of(gateway: &Gateway) -> Self {
        Server { pid: gateway.pid(), address: gateway.address }
    }
}

/// A running server and its senders.
pub struct Window<'a> {
    pub server: Server,
    pub load: Load,
    pub forge: &'a mut Forge,
    pub events: usize,
}

/// What one event asked of the allocator, and how often the gateway was switched away.
#[derive(Debug, Clone, Copy)]
pub struct Light {
    pub allocations: f64,
    pub bytes: f64,
    pub switches: f64,
}

impl Light {
    /// The least of each count. What is done once for a group of events, or every few seconds, weighs less or more by how busy
    /// the machine is; what each event does is in all windows.
    pub fn least(windows: impl Iterator<Item = Light>) -> Self {
        let least = |one: Light, other: Light| Light {
            allocations: one.allocations.min(other.allocations),
            bytes: one.bytes.min(other.bytes),
            switches: one.switches.min(other.switches),
        };
        windows.reduce(least).expect("a window")
    }
}

impl<'a> Window<'a> {
    /// With its connections open and its way trodden by as many events as a window has.
    pub fn open(server: Server, connections: usize, events: usize, forge: &'a mut Forge) -> Self {
        let load = Load::open(server.address, connections);
        let mut window = Window { server, load, forge, events };
        window.run();
        window
    }

    fn run(&mut self) {
        let requests = self.forge.requests(self.events);
        self.send(requests);
    }

    fn send(&mut self, requests: Batch) {
        let run = self.load.run(requests);
        assert_eq!(run.refused, 0, "answers other than 2xx");
    }

    /// What each event is of a difference between after and before.
    fn per_event(&self, before: f64, after: f64) -> f64 {
        (after - before) / self.events as f64
    }

    /// Counted without being watched.
    pub fn light(&mut self) -> Light {
        let pid = self.server.pid;
        let look = || (Allocated::by(pid), kernel::context_switches(pid));
        let before = look();
        self.run();
        let after = look();
        Light {
            allocations: self.per_event(before.0.times, after.0.times),
            bytes: self.per_event(before.0.bytes, after.0.bytes),
            switches: self.per_event(before.1, after.1),
        }
    }

    /// Bytes copied, by a gateway that counts them.
    pub fn copied(&mut self) -> f64 {
        let pid = self.server.pid;
        let before = copied::by(pid);
        self.run();
        self.per_event(before, copied::by(pid))
    }

    /// While perf watches.
    pub fn watched(&mut self, folder: &Path) -> (Seen, Wire) {
        let Server { pid, address } = self.server;
        let port = address.port();
        let requests = self.forge.requests(self.events);
        let mut perf = Perf::attach(pid, folder);
        let before = Wire::of(pid, port);
        perf.enable();
        self.send(requests);
        let seen = perf.finish();
        let after = Wire::of(pid, port);
        let (front, back) = (self.per_event(before.front, after.front), self.per_event(before.back, after.back));
        (seen.each(self.events as f64), Wire { front, back })
    }

    /// While valgrind counts.
    pub fn instructions(&mut self, folder: &Path) -> Work {
        let pid = self.server.pid;
        callgrind::begin(pid);
        self.run();
        let work = callgrind::taken(pid, folder);
        work.each(self.events as f64)
    }
}
