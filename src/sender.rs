//! Who sent a request: the address of its connection, or the one that a proxy which the operator trusts has seen.
//!
//! In: the connection's address and the request's headers. Out: an address for the log. It decides nothing: no request is
//! taken or refused for where it comes from.
//!
//! A proxy writes the address that it has seen at the right end of its header; what stands to the left of that came with the
//! request, and anybody can have written it. So the list is read from the right for as long as trusted proxies stand there: the
//! first address that is none of theirs is the sender's. One header counts, the one that the proxies write: the other they pass
//! on as it came.

pub mod proxy_protocol;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// Most addresses of a list that are looked at, from the right: more proxies do not stand in a row.
const MAX_HOPS: usize = 16;

/// The header in which trusted proxies say whom they have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// `X-Forwarded-For`: addresses with commas between.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
    /// None.
    Off,
}

impl Forwarding {
    fn header(self) -> Option<&'static str> {
        match self {
            Forwarding::XForwardedFor => Some("x-forwarded-for"),
            Forwarding::Forwarded => Some("forwarded"),
            Forwarding::Off => None,
        }
    }

    /// The address in one element of the list.
    fn address(self, element: &[u8]) -> Option<IpAddr> {
        let node = match self {
            Forwarding::XForwardedFor => Some(element),
            Forwarding::Forwarded => from_the_right(element, b';').filter_map(value_of_for).last(),
            Forwarding::Off => None,
        };
        parse(std::str::from_utf8(node?).ok()?.trim_ascii())
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    /// Whether a header may name somebody behind it, if it is a trusted proxy.
    may_name: bool,
}

impl Peer {
    /// Who has this address.
    pub fn of(address: IpAddr) -> Self {
        Peer { address, may_name: true }
    }

    /// The proxy with this address, whose PROXY protocol head names nobody: it speaks for itself, or for one that it does not
    /// know. Its headers are then what came to it.
    pub fn naming_nobody(address: IpAddr) -> Self {
        Peer { address, may_name: false }
    }
}

/// Whether a trusted proxy has this address.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The sender's address. `peer`: the other end of the connection. Where the list ends, or has something else than an address, it
/// is that of the last trusted proxy.
pub fn address(peer: Peer, headers: &HeaderMap, trusted: &[IpNet], forwarding: Forwarding) -> IpAddr {
    let mut sender = peer.address;
    let (true, Some(header)) = (peer.may_name && is_trusted(sender, trusted), forwarding.header()) else {
        return sender;
    };
    let lines = headers.get_all(header).iter().rev();
    for element in lines.flat_map(|line| from_the_right(line.as_bytes(), b',')).take(MAX_HOPS) {
        if element.trim_ascii().is_empty() {
            continue;
        }
        let Some(address) = forwarding.address(element) else { break };
        sender = address;
        if !is_trusted(sender, trusted) {
            break;
        }
    }
    sender
}

/// The elements of a list from its last to its first; a separator between quotation marks is none. Read from the right, no
/// quotation mark that a stranger has left open can take in what a proxy has written behind it.
fn from_the_right(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest.take()?;
        let mut is_quoted = false;
        for (at, byte) in list.iter().enumerate().rev() {
            let (before, from) = list.split_at(at);
            if *byte == b'"' && !ends_in_escape(before) {
                is_quoted = !is_quoted;
            } else if *byte == separator && !is_quoted {
                rest = Some(before);
                return from.get(1..);
            }
        }
        Some(list)
    })
}

/// Whether an odd number of backslashes stands at the end.
fn ends_in_escape(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The value of a pair whose name is `for`, without its quotation marks.
fn value_of_for(pair: &[u8]) -> Option<&[u8]> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at(at);
    let value = value.get(1..)?.trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    name.trim_ascii().eq_ignore_ascii_case(b"for").then(|| unquoted.unwrap_or(value))
}

/// An address as proxies write it: alone, with a port, IPv6 in brackets or not.
fn parse(node: &str) -> Option<IpAddr> {
    let in_brackets = || node.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || node.parse::<SocketAddr>().ok().map(|address| address.ip());
    node.parse().ok().or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// The sender of a request that came from `peer` with these header lines.
    fn sender(peer: &str, forwarding: Forwarding, lines: &[(&'static str, &str)]) -> String {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect();
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        address(Peer::of(peer.parse().unwrap()), &headers, &trusted, forwarding).to_string()
    }

    #[test]
    fn the_right_most_address_that_no_trusted_proxy_has_is_the_senders() {
        let cases = [
            ("203.0.113.7", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7, 10.1.2.3,10.0.0.9", "203.0.113.7"),
            ("203.0.113.7:4711, 10.1.2.3:80", "203.0.113.7"),
            ("2001:db9::7", "2001:db9::7"),
            ("[2001:db9::7]:4711, [2001:db8::1]", "2001:db9::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            (" 203.0.113.7 ,, ", "203.0.113.7"),
            // The proxies only.
            ("10.1.2.3", "10.1.2.3"),
            ("", PROXY),
            // What no address is ends the list, and nothing behind it counts.
            ("6.6.6.6, unknown", PROXY),
            ("6.6.6.6, 10.1.2.3.4, 10.0.0.9", "10.0.0.9"),
            ("6.6.6.6, \"203.0.113.7", PROXY),
            ("6.6.6.6\u{e9}", PROXY),
        ];
        for (value, expected) in cases {
            assert_eq!(sender(PROXY, Forwarding::XForwardedFor, &[("x-forwarded-for", value)]), expected, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines =
            [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "10.0.0.9")];
        assert_eq!(sender(PROXY, Forwarding::XForwardedFor, &lines), "203.0.113.7");
    }

    #[test]
    fn a_stranger_and_the_other_header_are_not_believed() {
        let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=203.0.113.7")];
        assert_eq!(sender("192.0.2.1", Forwarding::XForwardedFor, &both), "192.0.2.1");
        assert_eq!(sender(PROXY, Forwarding::Forwarded, &both), "203.0.113.7");
        assert_eq!(sender(PROXY, Forwarding::Forwarded, &both[..1]), PROXY);
        assert_eq!(sender(PROXY, Forwarding::Off, &both), PROXY);
        let proxy: IpAddr = PROXY.parse().unwrap();
        assert_eq!(address(Peer::of(proxy), &HeaderMap::new(), &[], Forwarding::Off), proxy);
        let header =
            HeaderMap::from_iter([(HeaderName::from_static("forwarded"), HeaderValue::from_static("for=6.6.6.6"))]);
        let trusted = [IpNet::from(proxy)];
        let through = |peer| address(peer, &header, &trusted, Forwarding::Forwarded).to_string();
        assert_eq!([Peer::of(proxy), Peer::naming_nobody(proxy)].map(through), ["6.6.6.6", PROXY]);
    }

    #[test]
    fn forwarded_is_read_as_its_standard_writes_it() {
        let cases = [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For = \"[2001:db9::7]:4711\" ; proto=https;by=10.0.0.1", "2001:db9::7"),
            ("for=6.6.6.6, proto=https;for=203.0.113.7, for=10.0.0.9", "203.0.113.7"),
            ("for=6.6.6.6, for=_hidden", PROXY),
            ("for=6.6.6.6, proto=https", PROXY),
            // A stranger's quotation mark takes in nothing of the proxy's, nor does a Host that the proxy quotes.
            ("for=\"6.6.6.6, for=203.0.113.7;host=\"h\"", "203.0.113.7"),
            ("for=203.0.113.7;host=\"x, for=6.6.6.6;y\"", "203.0.113.7"),
            ("for=203.0.113.7;host=\"\\\", for=6.6.6.6;y=\\\"\"", "203.0.113.7"),
            ("for=203.0.113.7;host=x;for=6.6.6.6", "203.0.113.7"),
        ];
        for (value, expected) in cases {
            assert_eq!(sender(PROXY, Forwarding::Forwarded, &[("forwarded", value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_long_list_is_read_to_a_bound() {
        let hops = format!("6.6.6.6{}", ", 10.0.0.9".repeat(MAX_HOPS));
        assert_eq!(sender(PROXY, Forwarding::XForwardedFor, &[("x-forwarded-for", &hops)]), "10.0.0.9");
        let fewer = hops.replacen(", 10.0.0.9", "", 1);
        assert_eq!(sender(PROXY, Forwarding::XForwardedFor, &[("x-forwarded-for", &fewer)]), "6.6.6.6");
    }
}
