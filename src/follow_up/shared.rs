//! What all sources that want details share.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::{bus::Bus, config::Config, envelope::Stamp};

/// It.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    /// Where details go. The embedded bus is the gateway's; beside it a journal is opened when it is first needed.
    pub(super) bus: OnceCell<Bus>,
    pub(super) stamp: Stamp,
}
