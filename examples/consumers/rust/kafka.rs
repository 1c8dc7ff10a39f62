//! Handles the webhooks that hookbus publishes to Apache Kafka, each one once, in the order of its key.
//!
//! `KAFKA_BROKERS=127.0.0.1:9092 cargo run --example kafka_consumer '^webhooks\.audit1\.'`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what this example does with an event")]

mod event;

use event::{Event, Failure, Handled, setting, stopped};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Headers as _},
};

/// Your work. If it fails, the offset is not committed and the event comes again after the restart.
fn handle(event: &Event) -> Result<(), Failure> {
    println!("{} {}", event.kind, event.id);
    Ok(())
}

fn read(message: &BorrowedMessage<'_>) -> Result<Event, Failure> {
    let header = |name: &str| {
        let found = message.headers()?.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(found.value?).into_owned())
    };
    Event::read(header, "ce_", message.payload().unwrap_or_default())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let topics = std::env::args().nth(1).unwrap_or_else(|| r"^webhooks\.".into());
    let mut handled = Handled::open(&setting("HANDLED", "handled.txt"))?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", setting("KAFKA_BROKERS", "127.0.0.1:9092"))
        // One name for all instances of a service: they share the partitions.
        .set("group.id", setting("GROUP", "example"))
        // After this long without a sign of life an instance's partitions go to another.
        .set("session.timeout.ms", "10000")
        // Only what is handled is committed, in the background; what is not yet comes again after a crash.
        .set("enable.auto.offset.store", "false")
        // A new group begins with the oldest event that the topics still have.
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&topics])?;
    let mut stopping = std::pin::pin!(stopped());
    loop {
        let message = tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            message = consumer.recv() => match message {
                Ok(message) => message,
                // The client goes on by itself.
                Err(error) => {
                    eprintln!("{error}");
                    continue;
                }
            },
        };
        let event = read(&message)?;
        if !handled.contains(&event) {
            handle(&event)?;
            handled.add(&event)?;
        }
        consumer.store_offset_from_message(&message)?;
    }
}
