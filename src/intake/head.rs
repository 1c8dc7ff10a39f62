//! What a head alone decides: whether it is for this host, and whether it only asks how the gateway is.

use http::{Method, Version, header, request::Parts, uri::Scheme};

/// Exactly one Host, and an absolute request target only for that host: two opinions about where a request goes are how
/// requests are smuggled past a proxy. HTTP/1.0 knows no Host, and a default port may be left out.
pub(super) fn has_one_host(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let sound = match (hosts.next(), head.uri.authority()) {
        (None, _) => head.version == Version::HTTP_10,
        (Some(host), None) => !host.is_empty(),
        (Some(host), Some(authority)) => {
            let default_port = if head.uri.scheme() == Some(&Scheme::HTTPS) { ":443" } else { ":80" };
            let name = |host: &[u8]| host.strip_suffix(default_port.as_bytes()).unwrap_or(host).to_ascii_lowercase();
            !host.is_empty() && name(host.as_bytes()) == name(authority.as_str().as_bytes())
        }
    };
    sound && hosts.next().is_none()
}

/// Whether it is a balancer's probe of `listener.health_path`.
pub(super) fn is_probe(head: &Parts, health_path: Option<&str>) -> bool {
    health_path == Some(head.uri.path()) && matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS)
}
