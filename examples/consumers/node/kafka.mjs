// Handles the webhooks that hookbus publishes to Apache Kafka, each one once, in the order of its key.
//
//   npm install
//   KAFKA_BROKERS=127.0.0.1:9092 node kafka.mjs '^webhooks\.audit1\.'
import { HTTP, Kafka as Binary } from "cloudevents";
import kafkajs from "kafkajs";

import { Handled } from "./handled.mjs";

const { Kafka, logLevel } = kafkajs;

// Your work. If it throws, the offset is not committed and the event comes again.
async function handle(event) {
  console.log(event.type, event.id);
}

// Either content mode. Structured mode is the same in every binding; the SDK's Kafka reader of it wants a `time`, which
// not every event has.
function read({ key, headers, value }) {
  const texts = Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, text.toString()]));
  const structured = texts["content-type"]?.startsWith("application/cloudevents");
  if (structured) return HTTP.toEvent({ headers: { "content-type": texts["content-type"] }, body: value.toString() });
  return Binary.toEvent({ key: key.toString(), headers: texts, value });
}

const handled = new Handled(process.env.HANDLED ?? "handled.txt");
const kafka = new Kafka({
  brokers: (process.env.KAFKA_BROKERS ?? "127.0.0.1:9092").split(","),
  logLevel: logLevel.WARN,
});
const consumer = kafka.consumer({
  // One name for all instances of a service: they share the partitions.
  groupId: process.env.GROUP ?? "example",
  // After this long without a sign of life an instance's partitions go to another.
  sessionTimeout: 10_000,
});
await consumer.connect();
// A new group begins with the oldest event that the topics still have. Topics that are made later are found at the next
// start.
await consumer.subscribe({ topics: [new RegExp(process.argv[2] ?? "^webhooks\\.")], fromBeginning: true });
await consumer.run({
  // Only what is handled is committed, in the background; what is not yet comes again after a crash.
  autoCommitInterval: 5000,
  eachMessage: async ({ message }) => {
    const event = read(message);
    if (handled.has(event)) return;
    await handle(event);
    handled.add(event);
  },
});
// The message at hand is finished and committed first.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => consumer.disconnect());
