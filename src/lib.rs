//! hookbus
pub mod config;
pub mod envelope;
pub mod journal;
pub mod secrets;
pub mod vendor;
