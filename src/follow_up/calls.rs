//! The calls of one account: how many may be made at once, and with which credentials.
//!
//! An event holds a place only while its call is made. Those that have failed before share a half of the places, so that events
//! which always fail leave the other half to new ones.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{
    apis::Call,
    config::SourceConfig,
    vendor_api::{ApiError, Client, ClientError},
};

/// The client of one account, and its places.
#[derive(Debug)]
pub(super) struct Calls {
    client: Mutex<Arc<Client>>,
    /// How many may be made at once.
    pub(super) places: Places,
}

/// Where calls are made.
#[derive(Debug)]
pub(super) struct Places {
    /// All of them.
    all: Arc<Semaphore>,
    /// Turns of events that have not failed: as many as places.
    new: Arc<Semaphore>,
    /// Turns of events that have: half of the places.
    again: Arc<Semaphore>,
}

/// The right to wait for a place.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// A place, given back when it is dropped, and with it the turn.
#[derive(Debug)]
pub(super) struct Place {
    _place: Option<OwnedSemaphorePermit>,
    _turn: Turn,
}

impl Places {
    fn new(most: usize) -> Self {
        let [all, new, again] = [most, most, (most / 2).max(1)].map(|count| Arc::new(Semaphore::new(count)));
        Places { all, new, again }
    }

    /// Waits for the turn of a new event.
    pub(super) async fn turn(&self) -> Turn {
        Turn { _permit: one_of(&self.new).await }
    }

    /// Waits for the turn of an event that has failed before.
    pub(super) async fn turn_again(&self) -> Turn {
        Turn { _permit: one_of(&self.again).await }
    }

    /// Waits for a place.
    pub(super) async fn place(&self, turn: Turn) -> Place {
        Place { _place: one_of(&self.all).await, _turn: turn }
    }
}

/// They are never closed.
async fn one_of(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_owned().await.ok()
}

impl Calls {
    /// `most`: calls at once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) fn new(source: &SourceConfig, most: usize) -> Result<Self, ClientError> {
        Ok(Calls { client: Mutex::new(Arc::new(Client::new(source)?)), places: Places::new(most) })
    }

    /// Who asks now.
    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the credentials anew, unless another call has done so since `refused` was taken.
    ///
    /// # Errors
    /// See [`ClientError`]; the credentials stay as they are.
    pub(super) fn renew(&self, source: &SourceConfig, refused: &Arc<Client>) -> Result<(), ClientError> {
        if Arc::ptr_eq(&self.client(), refused) {
            let client = Arc::new(Client::new(source)?);
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
        Ok(())
    }
}

/// Asks once.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn ask(client: &Arc<Client>, call: &Call, id: &str) -> Result<Vec<u8>, ApiError> {
    let (asking, asked, id) = (Arc::clone(client), call.clone(), id.to_owned());
    let answer = spawn_blocking(move || asking.certificate(&asked, &id)).await;
    let ended = |_| Err(ApiError::NoAnswer { call: format!("GET {}", call.path), error: "asking ended early".into() });
    answer.unwrap_or_else(ended)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn new(places: &Places) -> Place {
        places.place(places.turn().await).await
    }

    async fn failed(places: &Places) -> Place {
        places.place(places.turn_again().await).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_failed_before_leaves_half_of_the_places_to_new_ones() {
        let places = Places::new(4);
        let waits = Duration::from_secs(1);
        let two = [failed(&places).await, failed(&places).await];
        assert!(timeout(waits, failed(&places)).await.is_err(), "a third one waits");
        let others = [new(&places).await, new(&places).await];
        assert!(timeout(waits, new(&places)).await.is_err(), "four at once");
        drop(two);
        let _both = [failed(&places).await, new(&places).await];
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_one_that_has_not_come_yet_keeps_no_place() {
        let places = Places::new(1);
        let idle = places.turn().await;
        drop(failed(&places).await);
        let _place = places.place(idle).await;
    }
}
