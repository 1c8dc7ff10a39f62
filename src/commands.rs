//! One file per command.

pub mod check;
pub mod drain;
pub mod endpoints;
pub mod explain;
pub mod failure;
pub mod forward;
mod output;
mod post;
pub mod provision;
pub mod reconcile;
pub mod replay;
pub mod schema;
pub mod serve;
mod source_arg;
pub mod tail;
mod time_arg;
pub mod timeline;
pub mod trigger;
mod whole_bus;
