//! What operators see: metrics, health, the admin listener, logs. Nothing here decides anything on the request path;
//! the other rooms hold handles and count.

pub mod admin;
pub mod health;
pub mod log;
pub mod metrics;
