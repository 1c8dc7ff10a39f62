//! The head of a connection in the PROXY protocol, version 2 (its binary form): who has opened it at the proxy.
//!
//! In: a connection that has not been read from. Out: that address; nothing behind the head is read. What a head may have
//! beside the addresses (TLVs) is read and passed over.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What every head begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Most bytes of addresses and TLVs. The longest that is usual is half of it.
const MAX_BYTES: usize = 1024;

/// Whom a head names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Who has opened the connection at the proxy.
    Address(IpAddr),
    /// The proxy itself (LOCAL): it looks whether the gateway is there.
    Local,
    /// Somebody without an IP address, or one that the proxy does not know (UNSPEC).
    Unknown,
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Something else stands there, another version included.
    #[error("no PROXY protocol v2 head")]
    Other,
    /// More than 1024 bytes.
    #[error("PROXY protocol v2 head too large")]
    TooLarge,
    /// The connection has ended without a byte: somebody looked whether the port is open.
    #[error("nothing came")]
    Nothing,
    /// The connection has ended inside the head.
    #[error(transparent)]
    Ended(#[from] io::Error),
}

/// Reads the head.
///
/// # Errors
/// See [`HeadError`]; the connection is of no use then.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Head, HeadError> {
    // What is no head may be shorter than one, and then no more comes.
    if stream.read_u8().await.map_err(|_ended| HeadError::Nothing)? != SIGNATURE[0] {
        return Err(HeadError::Other);
    }
    let mut start = [0; SIGNATURE.len() - 1 + 4];
    stream.read_exact(&mut start).await?;
    let [signature @ .., version_and_command, family, high, low] = start;
    if signature != SIGNATURE[1..] || version_and_command >> 4 != 2 {
        return Err(HeadError::Other);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BYTES {
        return Err(HeadError::TooLarge);
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    let address: IpAddr = match (version_and_command & 0xf, family) {
        // Whatever stands behind.
        (0, _) => return Ok(Head::Local),
        (1, 0x11) => Ipv4Addr::from(source(&rest, 12)?).into(),
        (1, 0x21) => Ipv6Addr::from(source(&rest, 36)?).into(),
        // Unspecified, datagrams, Unix sockets.
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => return Ok(Head::Unknown),
        _ => return Err(HeadError::Other),
    };
    Ok(Head::Address(address.to_canonical()))
}

/// The source's address, which stands first of the `least` bytes that a family's addresses and ports have.
fn source<const N: usize>(rest: &[u8], least: usize) -> Result<[u8; N], HeadError> {
    rest.get(..least).and_then(|addresses| addresses.first_chunk()).copied().ok_or(HeadError::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version_and_command, family][..], &length, rest].concat()
    }

    fn read_all(bytes: &[u8]) -> (Result<Head, String>, usize) {
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(read(&mut rest));
        (found.map_err(|error| error.to_string()), rest.len())
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    fn v6() -> Vec<u8> {
        let addresses = ["2001:db8::7", "2001:db8::1"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
        [&addresses.concat()[..], &[0x12, 0x34, 0, 80]].concat()
    }

    #[test]
    fn a_head_says_who_and_nothing_behind_it_is_read() {
        let with_tlvs = [&V4[..], &[4, 0, 2, b'h', b'i']].concat();
        let named = |address: &str| Head::Address(address.parse().unwrap());
        let cases = [
            (head(0x21, 0x11, &V4), named("203.0.113.7")),
            (head(0x21, 0x11, &with_tlvs), named("203.0.113.7")),
            (head(0x21, 0x21, &v6()), named("2001:db8::7")),
            (head(0x20, 0x00, &[]), Head::Local),
            (head(0x20, 0x11, &V4), Head::Local),
            (head(0x21, 0x00, &[]), Head::Unknown),
            (head(0x21, 0x00, &V4), Head::Unknown),
            (head(0x21, 0x31, &[0; 216]), Head::Unknown),
        ];
        for (head, expected) in cases {
            let bytes = [&head[..], b"POST"].concat();
            assert_eq!(read_all(&bytes), (Ok(expected), 4), "{head:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused_at_once() {
        let cases = [
            (b"POST / HTTP/1.1\r\n".to_vec(), "no PROXY protocol v2 head"),
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n".to_vec(), "no PROXY protocol v2 head"),
            (head(0x11, 0x11, &V4), "no PROXY protocol v2 head"),
            (head(0x22, 0x11, &V4), "no PROXY protocol v2 head"),
            (head(0x21, 0x41, &V4), "no PROXY protocol v2 head"),
            (head(0x21, 0x11, &V4[..11]), "no PROXY protocol v2 head"),
            (head(0x21, 0x21, &V4), "no PROXY protocol v2 head"),
            (head(0x21, 0x11, &[0; MAX_BYTES + 1]), "PROXY protocol v2 head too large"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read_all(&bytes).0, Err(expected.into()), "{bytes:?}");
        }
        let (found, left) = read_all(&head(0x21, 0x11, &[0; MAX_BYTES + 1]));
        assert!(found.is_err() && left == MAX_BYTES + 1, "nothing is held for what is too large");
    }

    #[test]
    fn a_head_that_breaks_off_is_an_end() {
        let whole = head(0x21, 0x11, &V4);
        assert_eq!(read_all(b"").0, Err("nothing came".into()));
        for length in 1..whole.len() {
            assert!(read_all(&whole[..length]).0.is_err_and(|error| !error.contains("PROXY")), "{length}");
        }
        assert_eq!(read_all(&head(0x21, 0x11, &[&V4[..], &[0; MAX_BYTES - 12]].concat())).1, 0);
    }
}
