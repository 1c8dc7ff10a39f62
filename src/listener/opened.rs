//! A connection from its accept to its first request: who is at its other end.

use std::net::IpAddr;

use tokio::{net::TcpStream, time::timeout};

use crate::{
    intake::{Gateway, log_refused_connection, metrics::Closed},
    sender::{
        self,
        proxy_protocol::{self, HeadError},
    },
};

/// A connection and the address at its other end.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
}

impl Opened {
    /// Reads the head of the PROXY protocol where one is due: whose connection it is, says its proxy. `None`: there is no such
    /// head, and the connection is of no use.
    pub(super) async fn behind_its_proxy(mut self, gateway: &Gateway) -> Option<Self> {
        let limits = &gateway.limits;
        if !limits.proxy_protocol || !sender::is_trusted(self.peer, &limits.trusted_proxies) {
            return Some(self);
        }
        let head = timeout(limits.head_timeout, proxy_protocol::read(&mut self.stream)).await;
        match head {
            Ok(Ok(address)) => Some(Opened { peer: address.unwrap_or(self.peer), ..self }),
            Ok(Err(HeadError::Ended(_))) => None,
            Ok(Err(error)) => {
                gateway.metrics.closed.inc(Closed::Malformed);
                log_refused_connection(gateway, self.peer, &error.to_string());
                None
            }
            Err(_late) => {
                gateway.metrics.closed.inc(Closed::HeadTimeout);
                None
            }
        }
    }
}
