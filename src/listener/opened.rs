//! A connection from its accept to its first request: who is at its other end.

use std::net::IpAddr;

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep},
};

use super::phase::{self, Phase};
use crate::{
    intake::{
        Gateway, log_refused_connection,
        metrics::{Closed, ProxyHead},
    },
    sender::{
        self, Peer,
        proxy_protocol::{self, Head, HeadError},
    },
};

/// A connection and the address at its other end.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
}

impl Opened {
    /// Reads the head of the PROXY protocol where one is due: whose connection it is, says its proxy. `None`: there is no such
    /// head, or not before the drain closes the connection, which is of no use then.
    pub(super) async fn behind_its_proxy(
        mut self,
        gateway: &Gateway,
        phase: watch::Receiver<Phase>,
    ) -> Option<(TcpStream, Peer)> {
        let limits = &gateway.limits;
        if !limits.proxy_protocol || !sender::is_trusted(self.peer, &limits.trusted_proxies) {
            return Some((self.stream, Peer::of(self.peer)));
        }
        let begin = Instant::now();
        let head = tokio::select! {
            biased;
            head = proxy_protocol::read(&mut self.stream) => head.map_err(Some),
            () = sleep(limits.head_timeout) => Err(None),
            () = phase::closed(phase, begin) => {
                gateway.metrics.proxy_heads.inc(ProxyHead::Drain);
                return None;
            }
        };
        let (counted, peer) = match head {
            Ok(Head::Address(address)) => (ProxyHead::Address, Some(Peer::of(address))),
            Ok(Head::Local) => (ProxyHead::Local, Some(Peer::naming_nobody(self.peer))),
            Ok(Head::Unknown) => (ProxyHead::Unknown, Some(Peer::naming_nobody(self.peer))),
            Err(Some(HeadError::Nothing)) => (ProxyHead::Nothing, None),
            Err(Some(HeadError::Ended(_))) => (ProxyHead::Ended, None),
            Err(Some(error @ (HeadError::Other | HeadError::TooLarge))) => {
                gateway.metrics.closed.inc(Closed::Malformed);
                log_refused_connection(gateway, self.peer, &error.to_string());
                (ProxyHead::Malformed, None)
            }
            Err(None) => {
                gateway.metrics.closed.inc(Closed::HeadTimeout);
                (ProxyHead::Late, None)
            }
        };
        gateway.metrics.proxy_heads.inc(counted);
        peer.map(|peer| (self.stream, peer))
    }
}
