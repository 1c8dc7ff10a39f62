//! One file per command.

pub mod check;
pub mod provision;
pub mod replay;
pub mod schema;
pub mod serve;
pub mod tail;
pub mod trigger;
