// Remembers which events were handled, so that a repeat does no harm.
//
// Delivery is at least once, and (source, id) is what a repeat has in common with the first copy. Here it is a file; in
// your service make it a table, written in the same transaction as the effect: then even a crash in between repeats nothing.
import { appendFileSync, existsSync, readFileSync } from "node:fs";

export class Handled {
  #path;
  #keys;

  constructor(path) {
    this.#path = path;
    this.#keys = new Set(existsSync(path) ? readFileSync(path, "utf8").split("\n") : []);
  }

  has(event) {
    return this.#keys.has(`${event.source}\t${event.id}`);
  }

  add(event) {
    const key = `${event.source}\t${event.id}`;
    this.#keys.add(key);
    appendFileSync(this.#path, `${key}\n`);
  }
}
