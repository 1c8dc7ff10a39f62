//! hookbus
pub mod config;
pub mod envelope;
pub mod journal;
pub mod secrets;
pub mod json;
pub mod vendor;
