//! An append under way. In: the queue's word. Out: the record's sequence, once it is durable.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{queue::Answer, record::AppendError};

/// An append under way; it can be moved. Dropped, the record is written all the same.
#[derive(Debug)]
pub struct Append(pub(super) Result<oneshot::Receiver<Answer>, AppendError>);

impl Future for Append {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            // A committer that died answers no append, and what it was writing is not known to be durable.
            Ok(answer) => Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or(Err(AppendError::Failed))),
            Err(error) => Poll::Ready(Err(*error)),
        }
    }
}
