//! Under which names a browser may open the console.
//!
//! A stranger's page can make its own name lead to this address (DNS rebinding); its scripts then read what is here as if it
//! were theirs. The name stands in `Host`, so a name is served that no stranger can own: an address, a name without a dot, one
//! in a domain that is never public, or one that the operator lists.

use std::net::IpAddr;

use http::uri::Authority;

/// Domains that nobody can register.
const NEVER_PUBLIC: [&str; 5] = [".localhost", ".local", ".internal", ".svc", ".cluster.local"];

/// Whether a request with this `Host` may see the console. `listed`: `admin.console_hosts`, in lower case.
pub(super) fn is_ours(host: &str, listed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let port = authority.port().map_or_else(String::new, |port| format!(":{port}"));
    // A user before the name, or text behind an address in brackets.
    if host != format!("{}{port}", authority.host()) {
        return false;
    }
    let name = authority.host().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && !name.contains('.'))
        || NEVER_PUBLIC.iter().any(|domain| name.ends_with(domain))
        || listed.iter().any(|listed| listed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_stranger_can_own_are_served() {
        let listed = ["ops.example.com".to_owned()];
        for ours in [
            "127.0.0.1:9464",
            "10.1.2.3",
            "[::1]:9464",
            "localhost:9464",
            "hookbus:9464",
            "hookbus-admin.events.svc:9464",
            "hookbus-0.hookbus-pods.events.svc.cluster.local",
            "OPS.example.com:443",
            "localhost.:9464",
        ] {
            assert!(is_ours(ours, &listed), "{ours}");
        }
        for strange in [
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "ops.example.com.evil.example",
            "evilops.example.com",
            "x@localhost",
            "localhost@evil.example",
            "",
            ".",
            "a b",
            "[::1].evil.example",
        ] {
            assert!(!is_ours(strange, &listed), "{strange}");
        }
    }
}
