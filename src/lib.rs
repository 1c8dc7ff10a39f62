//! hookbus
pub mod config;
pub mod envelope;
pub mod journal;
pub mod json;
pub mod vendor;
