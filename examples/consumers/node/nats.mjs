// Handles the webhooks that hookbus publishes to NATS JetStream, each one once, in order.
//
//   npm install
//   NATS_URL=nats://127.0.0.1:4222 node nats.mjs 'webhooks.audit1.>'
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";
import { HTTP } from "cloudevents";

import { Handled } from "./handled.mjs";

const stream = process.env.STREAM ?? "WEBHOOKS";
// One name for all instances of a service: the server remembers how far they are, and gives each event to one of them.
const durable = process.env.DURABLE ?? "example";

// Your work. If it throws, the event is not acknowledged and comes again.
async function handle(event) {
  console.log(event.type, event.id);
}

// Either content mode. NATS spells attributes as HTTP does, percent-encoded; the SDK leaves the decoding to us.
function read(message) {
  const type = message.headers.get("content-type");
  if (type.startsWith("application/cloudevents")) {
    return HTTP.toEvent({ headers: { "content-type": type }, body: message.string() });
  }
  const headers = { "content-type": message.headers.get("ce-datacontenttype") };
  for (const name of message.headers.keys()) {
    if (name.startsWith("ce-")) headers[name] = decodeURIComponent(message.headers.get(name));
  }
  const isJson = headers["content-type"] === "application/json"; // everything but quarantine
  return HTTP.toEvent({ headers, body: isJson ? message.json() : Buffer.from(message.data) });
}

const connection = await connect({
  servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
  maxReconnectAttempts: -1,
});
const manager = await jetstreamManager(connection);
await manager.consumers.add(stream, {
  durable_name: durable,
  filter_subject: process.argv[2] ?? "webhooks.>",
  ack_policy: AckPolicy.Explicit,
  // An event that is not acknowledged after this long comes again. One at a time keeps the order, also then.
  ack_wait: nanos(5000),
  max_ack_pending: 1,
});
const handled = new Handled(process.env.HANDLED ?? "handled.txt");
const consumer = await jetstream(connection).consumers.get(stream, durable);
const messages = await consumer.consume({ max_messages: 1 });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => messages.stop());

for await (const message of messages) {
  const event = read(message);
  if (!handled.has(event)) {
    await handle(event);
    handled.add(event);
  }
  await message.ackAck();
}
await connection.close();
