//! Handles the webhooks that hookbus publishes to NATS JetStream, each one once, in order.
//!
//! `NATS_URL=nats://127.0.0.1:4222 cargo run --example nats_consumer 'webhooks.audit1.>'`

#![expect(clippy::print_stdout, reason = "what this example does with an event")]

mod event;

use std::time::Duration;

use async_nats::jetstream::{self, Message, consumer::pull};
use event::{Event, Failure, Handled, setting, stopped};
use futures_util::StreamExt as _;

/// Your work. If it fails, the event is not acknowledged and comes again.
fn handle(event: &Event) -> Result<(), Failure> {
    println!("{} {}", event.kind, event.id);
    Ok(())
}

/// Header values are percent-encoded.
fn read(message: &Message) -> Result<Event, Failure> {
    let header = |name: &str| Some(percent_decode(message.headers.as_ref()?.get(name)?.as_str()));
    Event::read(header, "ce-", &message.payload)
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let (byte, next) = match (first, code) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = next;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let subject = std::env::args().nth(1).unwrap_or_else(|| "webhooks.>".into());
    let mut handled = Handled::open(&setting("HANDLED", "handled.txt"))?;
    let client = async_nats::connect(setting("NATS_URL", "nats://127.0.0.1:4222")).await?;
    let stream = jetstream::new(client).get_stream(setting("STREAM", "WEBHOOKS")).await?;
    let config = pull::Config {
        // One name for all instances of a service: the server remembers how far they are, and gives each event to one.
        durable_name: Some(setting("DURABLE", "example")),
        filter_subject: subject,
        // An event that is not acknowledged after this long comes again. One at a time keeps the order, also then.
        ack_wait: Duration::from_secs(5),
        max_ack_pending: 1,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(1).messages().await?;
    let mut stopping = std::pin::pin!(stopped());
    loop {
        let message = tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            message = messages.next() => match message {
                Some(Ok(message)) => message,
                // The server is away: the client connects again by itself.
                Some(Err(_)) => continue,
                None => return Err("the stream of messages has ended".into()),
            },
        };
        let event = read(&message)?;
        if !handled.contains(&event) {
            handle(&event)?;
            handled.add(&event)?;
        }
        message.double_ack().await?;
    }
}
