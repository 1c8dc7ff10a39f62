//! What is varied, one thing at a time: everything else stays as at the base point.

use crate::{body::DOCUMENTED, bus::Bus, hookbus::Shape};

const KIB: usize = 1024;
/// Most bytes of bodies in a window, which the load generator holds signed in its memory.
const MOST_BYTES: usize = 192 * KIB * KIB;
/// Fewest events in a window, so that there are some on each connection.
const FEWEST: usize = 128;
/// Connections where they are not what is varied.
pub const CONNECTIONS: usize = 64;
/// Connections for bodies of any size: 64 of the largest at once would be more than `listener.max_inflight` (64 MiB) leaves
/// them, and be answered 503.
pub const FOR_BODIES: usize = 16;

/// One value of what is varied.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The value.
    pub value: usize,
    pub connections: usize,
    pub shape: Shape,
    /// Bytes of a body.
    pub body: usize,
    /// Events in a window.
    pub events: usize,
}

/// One thing that is varied.
#[derive(Debug, Clone)]
pub struct Sweep {
    pub what: What,
    pub buses: Vec<Bus>,
    pub points: Vec<Point>,
    /// The point that all others are compared with.
    pub base: usize,
}

/// The thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Connections,
    Sources,
    Subjects,
    Body,
}

impl What {
    pub const ALL: [What; 4] = [What::Connections, What::Sources, What::Subjects, What::Body];

    pub fn title(self) -> &'static str {
        match self {
            What::Connections => "Connections",
            What::Sources => "Sources",
            What::Subjects => "Subjects and topics",
            What::Body => "Size of the body",
        }
    }

    /// One value as readers write it.
    pub fn label(self, value: usize) -> String {
        match self {
            What::Body if value.is_multiple_of(KIB) => format!("{} KiB", value / KIB),
            What::Body => format!("{value} B"),
            What::Connections | What::Sources | What::Subjects => value.to_string(),
        }
    }

    fn values(self, is_smoke: bool) -> (&'static [usize], usize) {
        match (self, is_smoke) {
            (What::Connections, false) => (&[1, 8, 64, 256, 1000], CONNECTIONS),
            (What::Sources, false) => (&[1, 10, 100, 500], 1),
            (What::Subjects, false) => (&[1, 14, 68, 200], 1),
            // A nats-server as it comes takes messages of 1 MiB, so the largest body leaves room for its attributes.
            (What::Body, false) => (&[200, DOCUMENTED, 4 * KIB, 64 * KIB, 1020 * KIB], DOCUMENTED),
            (What::Connections, true) => (&[1, CONNECTIONS], CONNECTIONS),
            (What::Sources | What::Subjects, true) => (&[1, 14], 1),
            (What::Body, true) => (&[DOCUMENTED, 64 * KIB], DOCUMENTED),
        }
    }

    fn point(self, value: usize, events: usize) -> Point {
        let base = Point { value, connections: CONNECTIONS, shape: Shape::default(), body: DOCUMENTED, events };
        match self {
            // One at a time takes five times as long.
            What::Connections => {
                Point { connections: value, events: if value == 1 { events / 8 } else { events }, ..base }
            }
            What::Sources => Point { shape: Shape { sources: value, subject: None }, ..base },
            // A source to each subject: the sweep over sources says what those take by themselves.
            What::Subjects => {
                Point { shape: Shape { sources: value, subject: Some("events.{vendor}.{source}") }, ..base }
            }
            What::Body => Point {
                connections: FOR_BODIES,
                body: value,
                events: events.min(MOST_BYTES / value).max(FEWEST),
                ..base
            },
        }
    }
}

impl Sweep {
    /// `events`: in a window.
    pub fn of(what: What, events: usize, is_smoke: bool) -> Self {
        let (values, base) = what.values(is_smoke);
        let buses = match (what, is_smoke) {
            (What::Subjects, false) => vec![Bus::Journal, Bus::JetStream, Bus::Kafka],
            (_, false) | (What::Subjects, true) => vec![Bus::Journal, Bus::JetStream],
            (_, true) => vec![Bus::Journal],
        };
        Sweep {
            what,
            buses,
            points: values.iter().map(|value| what.point(*value, events)).collect(),
            base: values.iter().position(|value| *value == base).expect("the base is a point"),
        }
    }
}
