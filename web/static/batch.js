// A batch of pictures: sends a few at a time to POST predict_async and waits on GET result/{id}. It waits by itself while the
// server is full or out of reach, and touches no element of the page.

import { sleep } from "./shared.js";

// randomKey works without HTTPS too, where crypto.randomUUID does not.
const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// Codes of errors that say something about the picture, not about the service.
const aboutPicture = new Set(["undecodable", "unsupported", "too_large", "invalid", "unsuited"]);

const messages = {
  undecodable: "The file is damaged: it cannot be decoded.",
  unsupported: "This is not a picture in JPEG, PNG, GIF, BMP or WebP.",
  too_large: "The picture is too large.",
  unsuited: "The model has no classes; it gives features only.",
  deadline: "Its time limit passed before a replica was free.",
  unavailable: "No replica could classify it.",
  lost: "The server lost it in a fault of its storage.",
  forbidden: "The key does not permit sending pictures.",
  slow: "It was sent too slowly.",
  internal: "The server made an error.",
};

// Refusal is an answer that ends a picture.
class Refusal extends Error {
  constructor({ error = "The server's answer cannot be read", code = "" } = {}) {
    super(messages[code] ?? error);
    this.code = code;
    this.detail = messages[code] ? error : "";
  }
}

const ended = new Set(["done", "unusable", "failed", "cancelled"]);

export class Batch {
  items = []; // in order of arrival; see add
  #waiting = [];
  #running = 0;
  #resumeAt = 0; // nothing is sent before, by performance.now
  #offline = 0; // pictures that wait for a connection

  // api(path, options) is that of shared.js. changed(item) is called after each change of an item.
  constructor({ api, changed, atOnce }) { Object.assign(this, { api, changed, atOnce }); }

  // add takes a picture and returns its item, whose phase goes from "waiting" over "sending", "queued" and "processing" to
  // "done", "unusable" (the picture's fault), "failed" or "cancelled".
  add(name, picture, model = "") {
    const item = { name, picture, model };
    this.items.push(item);
    this.#enter(item);
    return item;
  }

  retry(item) { if (ended.has(item.phase) && item.phase !== "done") this.#enter(item); }

  cancel(item) {
    if (ended.has(item.phase)) return;
    item.abort.abort();
    this.#waiting = this.#waiting.filter((other) => other !== item); // or it would be sent twice after a retry
    if (item.id) this.api(`result/${item.id}`, { method: "DELETE" }).catch(() => {}); // its result is not wanted either way
    this.#set(item, "cancelled");
  }

  // clear forgets what has ended, and returns it.
  clear() {
    const gone = this.items.filter((item) => ended.has(item.phase));
    this.items = this.items.filter((item) => !ended.has(item.phase));
    return gone;
  }

  counts() {
    const n = { total: this.items.length, ended: 0, done: 0, unusable: 0, failed: 0, cancelled: 0 };
    for (const { phase } of this.items) {
      if (!ended.has(phase)) continue;
      n.ended++;
      n[phase]++;
    }
    return n;
  }

  // problem says why nothing is sent; it is empty if nothing is wrong.
  problem() {
    const left = (this.#resumeAt - performance.now()) / 1000;
    if (this.#offline > 0) return "No connection to the server; trying again";
    if (left > 0) return `The server is full; sending again in ${Math.ceil(left)} s`;
    return "";
  }

  #enter(item) {
    Object.assign(item, { abort: new AbortController(), id: "", key: randomKey(), answer: null, error: null, resent: 0 });
    this.#set(item, "waiting");
    this.#waiting.push(item);
    while (this.#running < this.atOnce && this.#waiting.length > 0) this.#work();
  }

  #set(item, phase, note = "") {
    item.phase = phase;
    item.note = note;
    this.changed(item);
  }

  async #work() {
    this.#running++;
    await null; // add returns the item before it changes
    for (let item; (item = this.#waiting.shift());) {
      const { signal } = item.abort;
      if (signal.aborted) continue;
      try {
        await this.#classify(item, signal);
      } catch (error) {
        if (signal.aborted) continue;
        item.error = { message: error.message, code: error.code ?? "", detail: error.detail ?? "" };
        this.#set(item, aboutPicture.has(error.code) ? "unusable" : "failed");
      }
    }
    this.#running--;
  }

  async #classify(item, signal) {
    if (item.picture.size === 0) throw Object.assign(new Error("The file is empty."), { code: "invalid" });
    await item.picture.slice(0, 1).arrayBuffer().catch(() => { throw new Error("The file cannot be read; is it a folder, or gone?"); });
    const started = performance.now();
    for (;;) {
      try {
        const answer = await this.#attempt(item, signal);
        item.seconds = (performance.now() - started) / 1000;
        item.answer = answer;
        return this.#set(item, "done");
      } catch (error) {
        // What a server has lost or forgotten is sent again, but not forever.
        if (!(error instanceof Refusal) || !["lost", "not_found"].includes(error.code) || !item.id || item.resent++ >= 2) throw error;
        item.id = "";
        item.key = randomKey();
      }
    }
  }

  async #attempt(item, signal) {
    const query = item.model ? `?model=${encodeURIComponent(item.model)}` : "";
    let answer = await this.#ask(item, `predict_async${query}`, signal, 120, () => {
      const form = new FormData();
      form.append("image", item.picture, item.name);
      return { method: "POST", body: form, headers: { "Idempotency-Key": item.key } };
    });
    item.id = answer.request_id;
    if (signal.aborted) throw signal.reason;
    while (answer.status === "queued" || answer.status === "processing") {
      this.#set(item, answer.status);
      answer = await this.#ask(item, `result/${item.id}?wait=10s`, signal, 25, () => ({}));
    }
    if (answer.status !== "completed" && answer.result === undefined) {
      throw new Refusal({ error: answer.error ?? "The request was cancelled", code: answer.code });
    }
    return answer;
  }

  // ask requests until there is an answer that is neither "full" nor a broken connection.
  async #ask(item, path, signal, limit, options) {
    const sending = path.startsWith("predict");
    for (let broken = 0; ;) {
      while (sending && this.#resumeAt > performance.now()) {
        this.#set(item, "waiting", "for room in the queue");
        await sleep((this.#resumeAt - performance.now()) / 1000 + 0.2 * Math.random(), signal);
      }
      if (sending) this.#set(item, "sending");
      let response, body;
      try {
        response = await this.api(path, { ...options(), signal, seconds: limit });
        body = await response.json().catch((error) => { if (response.status < 500) throw new Refusal(); throw error; });
      } catch (error) {
        if (signal.aborted || error instanceof Refusal) throw error;
        // A server that cuts this upload off, but is there, does not want the picture.
        if (sending && await this.#reachable(signal) && ++broken >= 3) throw new Error("The connection breaks while it is sent.");
        this.#offline++;
        try {
          this.#set(item, item.phase, "no connection; trying again");
          await sleep(Math.min(5, 1 + broken) * (0.8 + 0.4 * Math.random()), signal);
        } finally {
          this.#offline--;
        }
        continue;
      }
      if (response.ok) return body;
      if (response.status !== 503 && response.status !== 429 && response.status !== 502) throw new Refusal(body);
      if (body.code === "lost") throw new Refusal(body);
      const wait = Math.min(60, body.retry_after || Number(response.headers.get("Retry-After")) || 1);
      if (sending) this.#resumeAt = Math.max(this.#resumeAt, performance.now() + 1000 * wait);
      else await sleep(wait, signal);
    }
  }

  async #reachable(signal) {
    try {
      return (await this.api("health/live", { signal, seconds: 3 })).ok;
    } catch {
      return false;
    }
  }
}

// table returns rows as CSV (RFC 4180). A text that a spreadsheet would take for a formula begins with an apostrophe.
export function table(rows) {
  return rows.map((row) => row.map((value) => {
    let text = String(value ?? "");
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",")).join("\r\n") + "\r\n";
}
