//! One file per command.

pub mod check;
pub mod serve;
pub mod tail;
pub mod trigger;
