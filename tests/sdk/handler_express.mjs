// A handler as the vendors' documents describe it, in Express: it knows one secret, and verifies over the raw body.
//
// Usage: handler_express.mjs PORT SECRET_FILE OUT. Each event that it takes is a line of OUT: vendor and SHA-256 of the body.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import express from "express";

const [port, secretFile, out] = process.argv.slice(2);
const secret = readFileSync(secretFile);
const app = express();
app.use(express.raw({ type: "application/json" }));

function take(vendor, expected, given, request, response) {
  const [ours, theirs] = [Buffer.from(expected), Buffer.from(given ?? "")];
  if (ours.length !== theirs.length || !timingSafeEqual(ours, theirs)) {
    response.status(401).json({ error: "invalid signature" });
    return;
  }
  appendFileSync(out, `${vendor} ${createHash("sha256").update(request.body).digest("hex")}\n`);
  response.json({ received: true });
}

app.post("/1099policy", (request, response) => {
  const signed = createHmac("sha512", secret).update(`${request.get("convoy-timestamp")},`).update(request.body);
  take("1099policy", signed.digest("hex"), request.get("x-convoy-signature"), request, response);
});

app.post("/audit1", (request, response) => {
  const expected = createHmac("sha256", secret).update(request.body).digest("hex");
  take("audit1", `sha256=${expected}`, request.get("Audit1-Signature"), request, response);
});

app.listen(Number(port), "127.0.0.1");
