//! A bus that does as a test says, and writes down what it stored, in order.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    bus::{Ack, Publication, PublishError},
    envelope::{Message, attributes::Attribute},
};

/// What it does with a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Stores it, and answers after so long.
    Take(Duration),
    /// Takes so long, and refuses all that were in flight together.
    Alone(Duration),
    /// Refuses it at once.
    Refuse(PublishError),
    /// Keeps it until the test says what becomes of it.
    Hold,
    /// Has a mistake in it.
    Panic,
}

type Answer = Result<Ack, PublishError>;

/// The bus.
#[derive(Debug)]
pub struct Scripted(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    mode: Mode,
    /// Ids that are refused for good, and why.
    poison: Vec<(String, PublishError)>,
    held: VecDeque<(String, oneshot::Sender<Answer>)>,
    stored: Vec<String>,
    calls: usize,
    flying: usize,
    most_flying: usize,
    /// More than one was in flight since there was none.
    crowded: bool,
}

impl Scripted {
    pub(crate) fn new(mode: Mode) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Scripted(Mutex::new(Inner {
            mode,
            poison: Vec::new(),
            held: VecDeque::new(),
            stored: Vec::new(),
            calls: 0,
            flying: 0,
            most_flying: 0,
            crowded: false,
        })))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    pub(crate) fn poison(&self, id: &str, error: PublishError) {
        self.lock().poison.push((id.to_owned(), error));
    }

    pub(crate) fn cure(&self) {
        self.lock().poison.clear();
    }

    /// Ends the oldest held publication; one that ends well is stored now.
    pub(crate) fn release(&self, answer: Answer) -> bool {
        let mut inner = self.lock();
        let Some((id, tell)) = inner.held.pop_front() else { return false };
        if answer.is_ok() {
            inner.stored.push(id);
        }
        tell.send(answer).ok();
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

    pub(crate) fn publish(self: &std::sync::Arc<Self>, message: &Message) -> Publication {
        let id = message.get(Attribute::Id).to_owned();
        let mut inner = self.lock();
        inner.calls += 1;
        if let Some((_, error)) = inner.poison.iter().find(|(poison, _)| *poison == id) {
            let error = *error;
            return Box::pin(async move { Err(error) });
        }
        match inner.mode {
            Mode::Refuse(error) => Box::pin(async move { Err(error) }),
            Mode::Panic => {
                drop(inner);
                panic!("as the test wants it");
            }
            Mode::Hold => {
                let (tell, told) = oneshot::channel();
                inner.held.push_back((id, tell));
                Box::pin(async move { told.await.unwrap_or(Err(PublishError::Error)) })
            }
            Mode::Alone(delay) => {
                inner.flying += 1;
                inner.crowded = inner.flying > 1;
                let bus = std::sync::Arc::clone(self);
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
                let bus = std::sync::Arc::clone(self);
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
