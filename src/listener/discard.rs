//! The end of a connection whose sender may still be writing: its answer is out, and what still arrives is read and thrown
//! away, within limits. A socket that is closed with unread bytes, or gets some later, resets its connection: the sender loses
//! the answer, and a proxy takes the gateway for broken.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::config::ListenerConfig;

/// A sender that writes nothing for this long has the answer, or has gone.
const QUIET: Duration = Duration::from_secs(2);
/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// So many pieces, and it is another connection's turn.
const TURN: usize = 4;

/// Says that no more answers come, and reads until the sender has closed too, is quiet, or has used up the limits.
pub(super) async fn discard(mut stream: TcpStream, limits: &ListenerConfig) {
    // Done already by hyper, where hyper has written the answer.
    let _shut = stream.shutdown().await;
    let _done_or_late = timeout(limits.discard_timeout, read_away(&stream, limits.discard_max)).await;
}

async fn read_away(stream: &TcpStream, mut left: u64) -> io::Result<()> {
    while left > 0 {
        timeout(QUIET, stream.readable()).await??;
        match turn(stream) {
            Ok(0) => return Ok(()),
            Ok(bytes) => left = left.saturating_sub(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads some pieces, not across a wait: a buffer on the stack serves all connections. Zero: the sender has closed.
fn turn(stream: &TcpStream) -> io::Result<u64> {
    let mut piece = [0; PIECE];
    let mut total = 0;
    for _ in 0..TURN {
        match stream.try_read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => total += bytes as u64,
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
