// Remembers which events were handled, so that a repeat does no harm.
//
// Delivery is at least once, and (type, source, id) is what a repeat has in common with the first copy: an event that
// leaves quarantine keeps its id and gets its type. Here it is a file; in your service make it a table, written in the
// same transaction as the effect: then even a crash in between repeats nothing.
import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";

const keyOf = (event) => `${event.type}\t${event.source}\t${event.id}`;

export class Handled {
  #path;
  #keys;

  constructor(path) {
    this.#path = path;
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    // Torn by a crash: that event comes again.
    if (whole !== text) truncateSync(path, Buffer.byteLength(whole));
    this.#keys = new Set(whole.split("\n"));
  }

  has(event) {
    return this.#keys.has(keyOf(event));
  }

  add(event) {
    const key = keyOf(event);
    this.#keys.add(key);
    appendFileSync(this.#path, `${key}\n`);
  }
}
