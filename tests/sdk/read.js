// Reads events with the CloudEvents SDK for JavaScript: each line of input in either mode, as on Kafka and as on NATS.
// The SDK validates strictly: an attribute of the wrong name or type throws.
const { HTTP, Kafka } = require("cloudevents");

function shown(mode, event) {
  event.validate();
  const { data, data_base64: base64, ...attributes } = event.toJSON();
  const bytes = Buffer.isBuffer(data) || data instanceof Uint8Array;
  if (base64 !== undefined || bytes) {
    return { mode, attributes, data_base64: base64 ?? Buffer.from(data).toString("base64") };
  }
  return { mode, attributes, data: typeof data === "string" ? JSON.parse(data) : data };
}

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", () => {
  for (const line of text.split("\n").filter(Boolean)) {
    const given = JSON.parse(line);
    // Structured mode is the same in every binding; the SDK's Kafka reader wants a time, which is optional.
    const structured = HTTP.toEvent({
      headers: Object.fromEntries(given.kafka_structured),
      body: given.structured,
    });
    const binary = Kafka.toEvent({
      key: given.key,
      headers: Object.fromEntries(given.kafka_binary),
      value: Buffer.from(given.body, "base64"),
    });
    console.log(JSON.stringify(shown("structured", structured)));
    console.log(JSON.stringify(shown("binary", binary)));
    // NATS spells attributes as HTTP does; the SDK leaves the percent-encoding to its caller.
    console.log(JSON.stringify(shown("nats structured", HTTP.toEvent({
      headers: Object.fromEntries(given.nats_structured),
      body: given.structured,
    }))));
    const headers = given.nats_binary.map(([name, value]) => [name, name.startsWith("ce-") ? decodeURIComponent(value) : value]);
    const named = Object.fromEntries(headers);
    named["content-type"] = named["ce-datacontenttype"];
    const body = Buffer.from(given.body, "base64");
    const isJson = named["content-type"] === "application/json";
    console.log(JSON.stringify(shown("nats binary", HTTP.toEvent({ headers: named, body: isJson ? body.toString() : body }))));
  }
});
