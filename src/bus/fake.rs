//! A bus that a test controls; it records what it stored, in order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::oneshot;

use super::outcome::{Ack, Boxed, PublishError};
use crate::envelope::{Message, attributes::Attribute};

/// What it does with a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Stores it, and answers after so long.
    Take(Duration),
    /// Takes so long, and refuses all that were in flight together.
    Alone(Duration),
    /// Refuses it at once.
    Refuse(PublishError),
    /// Keeps it until the test decides.
    Hold,
    /// Has a mistake in it.
    Panic,
}

/// Decides on each message in place of a mode.
pub(crate) trait Script: std::fmt::Debug + Send + Sync {
    fn publish(&self, message: &Message) -> Boxed;
}

type Answer = Result<Ack, PublishError>;

/// The bus.
#[derive(Debug)]
pub struct Fake(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    mode: Mode,
    /// Ids that are refused for good, and why.
    poison: Vec<(String, PublishError)>,
    /// A route that is refused.
    refused: Option<String>,
    held: VecDeque<(String, oneshot::Sender<Answer>)>,
    stored: Vec<String>,
    calls: usize,
    flying: usize,
    most_flying: usize,
    /// More than one was in flight since there was none.
    crowded: bool,
    incarnation: u64,
    script: Option<Arc<dyn Script>>,
}

impl Fake {
    pub(crate) fn new(mode: Mode) -> Arc<Self> {
        Arc::new(Fake(Mutex::new(Inner {
            mode,
            poison: Vec::new(),
            refused: None,
            held: VecDeque::new(),
            stored: Vec::new(),
            calls: 0,
            flying: 0,
            most_flying: 0,
            crowded: false,
            incarnation: 0,
            script: None,
        })))
    }

    #[cfg(feature = "simulation")]
    pub(crate) fn scripted(script: Arc<dyn Script>) -> Arc<Self> {
        let fake = Fake::new(Mode::Hold);
        fake.lock().script = Some(script);
        fake
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    pub(crate) fn poison(&self, id: &str, error: PublishError) {
        self.lock().poison.push((id.to_owned(), error));
    }

    /// Loses all that it has stored.
    pub(crate) fn wipe(&self) {
        let mut inner = self.lock();
        inner.stored.clear();
        inner.incarnation += 1;
    }

    pub(crate) fn incarnation_number(&self) -> u64 {
        self.lock().incarnation
    }

    pub(crate) fn refuse_route(&self, route: &str) {
        self.lock().refused = Some(route.to_owned());
    }

    pub(crate) fn cure(&self) {
        let mut inner = self.lock();
        inner.poison.clear();
        inner.refused = None;
    }

    /// Ends the oldest held publication; one that ends well is stored now.
    pub(crate) fn release(&self, answer: Answer) -> bool {
        let mut inner = self.lock();
        let Some((id, tx)) = inner.held.pop_front() else { return false };
        if answer.is_ok() {
            inner.stored.push(id);
        }
        tx.send(answer).ok();
        true
    }

    pub(crate) fn stored(&self) -> Vec<String> {
        self.lock().stored.clone()
    }

    pub(crate) fn stored_count(&self) -> usize {
        self.lock().stored.len()
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    pub(crate) fn most_flying(&self) -> usize {
        self.lock().most_flying
    }

    pub(crate) fn up(&self) -> bool {
        !matches!(self.lock().mode, Mode::Refuse(_))
    }

    pub(crate) fn publish(self: &Arc<Self>, message: &Message) -> Boxed {
        let id = message.get(Attribute::Id).to_owned();
        let mut inner = self.lock();
        inner.calls += 1;
        if let Some(script) = inner.script.clone() {
            drop(inner);
            return script.publish(message);
        }
        if let Some((_, error)) = inner.poison.iter().find(|(poison, _)| *poison == id) {
            let error = *error;
            return Box::pin(async move { Err(error) });
        }
        let is_refused = inner.refused.as_deref() == Some(message.route());
        if is_refused && !matches!(inner.mode, Mode::Refuse(_)) {
            return Box::pin(async move { Err(PublishError::SubjectFull) });
        }
        match inner.mode {
            Mode::Refuse(error) => Box::pin(async move { Err(error) }),
            Mode::Panic => {
                drop(inner);
                panic!("as the test wants it");
            }
            Mode::Hold => {
                let (tx, rx) = oneshot::channel();
                inner.held.push_back((id, tx));
                Box::pin(async move { rx.await.unwrap_or(Err(PublishError::Error)) })
            }
            Mode::Alone(delay) => {
                inner.flying += 1;
                inner.crowded = inner.flying > 1;
                let bus = Arc::clone(self);
                Box::pin(async move {
                    tokio::time::sleep(delay).await;
                    let mut inner = bus.lock();
                    inner.flying -= 1;
                    if inner.crowded {
                        return Err(PublishError::Refused);
                    }
                    inner.stored.push(id);
                    Ok(Ack::Stored)
                })
            }
            Mode::Take(delay) => {
                inner.stored.push(id);
                inner.flying += 1;
                inner.most_flying = inner.most_flying.max(inner.flying);
                let bus = Arc::clone(self);
                Box::pin(async move {
                    // A sleep of nothing still takes a tick of the clock.
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    bus.lock().flying -= 1;
                    Ok(Ack::Stored)
                })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}
