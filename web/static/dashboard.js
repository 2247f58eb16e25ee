// The dashboard: reads dashboard/stream, keeps an hour of samples, and draws them. A sample is an array; columns maps the
// name of a figure to its place.

import { $, api, askForKey, element, setText, sleep, whenKeyChanges } from "./shared.js";

const keptSeconds = 3600;
const silentSeconds = 15; // a connection without frames for so long counts as dead

let columns = new Map();
let rows = [];   // oldest first
let state = null;
let paused = null; // the rows as they were when paused; null while running
let cursor = null; // time of the point under the pointer or chosen by key, seconds; null if none

const at = (row, name) => row[columns.get(name)];
const shownRows = () => paused ?? rows;
const range = () => Number(document.querySelector("input[name=range]:checked").value);

// ---- numbers ----

function number(v) {
  if (v === null || v === undefined) return "–";
  return v >= 100 || Number.isInteger(v) ? String(Math.round(v)) : v.toFixed(v >= 10 ? 1 : 2);
}

function milliseconds(v) {
  if (v === null || v === undefined) return "–";
  return v < 1000 ? `${number(v)} ms` : `${number(v / 1000)} s`;
}

const percent = (v) => (v === null || v === undefined ? "–" : `${Math.round(v)} %`);
const seconds = (v) => (v === null || v === undefined ? "–" : milliseconds(1000 * v));
const clock = (t, withSeconds = true) => new Date(1000 * t).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(withSeconds ? { second: "2-digit" } : {}) });

// ---- charts ----

// A step between the lines of an axis: 1, 2 or 5 times a power of ten, so that there are at most four.
function step(top) {
  const unit = 10 ** Math.floor(Math.log10(top / 4));
  return [1, 2, 5, 10].map((m) => m * unit).find((s) => top / s <= 4.001);
}

class Chart {
  // series are {name, column, color}; format writes a value with its unit. The axis ends at top, or else above the
  // highest value and least.
  constructor(id, title, unit, series, format, { least = 1, top } = {}) {
    Object.assign(this, { title, unit, series, format, least, top, hidden: new Set() });
    const figure = element("figure");
    figure.id = `chart-${id}`;
    const caption = element("figcaption", title);
    this.caption = caption;
    caption.append(" ", element("span", unit, "quiet"));
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.summary = element("p", "", "off-screen");
    this.summary.id = `summary-${id}`;
    this.canvas.setAttribute("aria-describedby", this.summary.id);
    this.canvas.setAttribute("aria-label", `${title}, ${unit}. Left and right arrow keys read single points.`);
    this.legend = element("div", "", "legend");
    this.values = series.map((s) => {
      const b = element("button");
      b.type = "button";
      b.setAttribute("aria-pressed", "true");
      const value = element("span");
      b.append(element("i", "", s.color), `${s.name} `, value);
      b.addEventListener("click", () => {
        if (!this.hidden.delete(s.name)) this.hidden.add(s.name);
        b.setAttribute("aria-pressed", String(!this.hidden.has(s.name)));
        this.draw();
      });
      this.legend.append(b);
      return value;
    });
    figure.append(caption, this.canvas, this.legend, this.summary);
    $("charts").append(figure);
    this.canvas.addEventListener("pointermove", (e) => this.hover(e.offsetX));
    this.canvas.addEventListener("pointerleave", () => setCursor(null));
    this.canvas.addEventListener("keydown", (e) => this.keyed(e));
    this.canvas.addEventListener("blur", () => setCursor(null));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  hover(x) {
    const { left, width, from, to } = this.frame ?? {};
    if (width) setCursor(Math.round(from + (to - from) * Math.min(1, Math.max(0, (x - left) / width))));
  }

  keyed(e) {
    const list = shownRows();
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -keptSeconds, End: keptSeconds }[e.key];
    if (e.key === "Escape") setCursor(null);
    if (!move || !list.length) return;
    e.preventDefault();
    const last = list.at(-1)[0];
    setCursor(Math.min(last, Math.max(last - range(), (cursor ?? last) + move)));
    setText("point", `${clock(cursor)}: ${this.read(rowAt(cursor))}`);
  }

  read(row) {
    if (!row) return "no sample";
    return this.series.filter((s) => !this.hidden.has(s.name)).map((s) => `${s.name} ${this.format(at(row, s.column))}`).join(", ");
  }

  // points are, for each pixel, the largest value of the seconds in it: a peak of one second stays visible over an hour.
  points(list, column, from, to, width) {
    const place = columns.get(column), points = new Map();
    for (const row of list) {
      if (row[0] < from || row[place] === null || row[place] === undefined) continue;
      const x = Math.round((width * (row[0] - from)) / (to - from));
      points.set(x, Math.max(points.get(x) ?? 0, row[place]));
    }
    return [...points];
  }

  draw() {
    const ratio = devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    if (!box.width || !columns.size) return;
    const [w, h] = [box.width, box.height];
    if (this.canvas.width !== Math.round(w * ratio) || this.canvas.height !== Math.round(h * ratio)) {
      this.canvas.width = Math.round(w * ratio);
      this.canvas.height = Math.round(h * ratio);
    }
    const c = this.canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, w, h);
    c.font = "12px system-ui, sans-serif";
    const list = shownRows(), to = list.at(-1)?.[0] ?? Math.round(Date.now() / 1000), from = to - range();
    const left = 58, width = w - left - 8, top = 8, height = h - top - 22;
    this.frame = { left, width, from, to };
    const lines = this.series.map((s) => (this.hidden.has(s.name) ? [] : this.points(list, s.column, from, to, width)));
    const highest = this.top ?? 1.05 * Math.max(this.least, ...lines.flat().map(([, v]) => v));
    const gap = step(highest), ceiling = Math.ceil(highest / gap) * gap;
    const y = (v) => top + height - (height * v) / ceiling;

    c.fillStyle = color("--quiet");
    c.strokeStyle = color("--line");
    c.lineWidth = 1;
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (let v = 0; v <= ceiling * 1.001; v += gap) {
      c.beginPath();
      c.moveTo(left, Math.round(y(v)) + 0.5);
      c.lineTo(left + width, Math.round(y(v)) + 0.5);
      c.stroke();
      c.fillText(this.format(v).replace(/(\.\d*?)0+(?=\s|$)/, "$1").replace(/\.(?=\s|$)/, ""), left - 6, y(v));
    }
    c.textBaseline = "top";
    c.textAlign = "center";
    const every = range() / (width > 420 ? 5 : 3); // labels must not touch
    for (let t = Math.ceil(from / every) * every; t <= to; t += every) {
      const x = left + (width * (t - from)) / (to - from);
      if (x < left + 18 || x > left + width - 16) continue;
      c.fillText(clock(t, false), x, top + height + 6);
    }
    this.series.forEach((s, i) => {
      c.strokeStyle = c.fillStyle = color(`--s${s.color.slice(1)}`);
      c.lineWidth = 1.6;
      c.beginPath();
      let previous = null;
      const apart = Math.max(3, (3 * width) / (to - from)); // a longer gap has no samples
      for (const [x, v] of lines[i]) {
        if (previous === null || x - previous > apart) {
          c.moveTo(left + x, y(v));
          c.lineTo(left + x + 0.5, y(v));
        } else c.lineTo(left + x, y(v));
        previous = x;
      }
      c.stroke();
    });
    if (cursor !== null && cursor >= from && cursor <= to) {
      const x = Math.round(left + (width * (cursor - from)) / (to - from)) + 0.5;
      c.strokeStyle = color("--quiet");
      c.beginPath();
      c.moveTo(x, top);
      c.lineTo(x, top + height);
      c.stroke();
    }
    const row = cursor === null ? list.at(-1) : rowAt(cursor);
    this.series.forEach((s, i) => { this.values[i].textContent = row ? this.format(at(row, s.column)) : "–"; });
  }

  // describe updates the summary that screen readers read.
  describe() {
    const list = shownRows(), from = (list.at(-1)?.[0] ?? 0) - range(), part = list.filter((r) => r[0] >= from);
    this.summary.textContent = `${this.title}, last ${range() / 60} minutes: ` + this.series.map((s) => {
      const values = part.map((r) => at(r, s.column)).filter((v) => v !== null && v !== undefined);
      if (!values.length) return `${s.name} has no values`;
      return `${s.name} now ${this.format(values.at(-1))}, between ${this.format(Math.min(...values))} and ${this.format(Math.max(...values))}`;
    }).join("; ");
  }
}

// rowAt is the sample of a second, or one near it.
function rowAt(t) {
  const list = shownRows();
  let best = null;
  for (let i = list.length - 1; i >= 0 && list[i][0] >= t - 2; i--) if (Math.abs(list[i][0] - t) <= 2 && (!best || Math.abs(list[i][0] - t) <= Math.abs(best[0] - t))) best = list[i];
  return best;
}

function setCursor(t) {
  if (t === cursor) return;
  cursor = t;
  setText("point", t === null ? "" : `at ${clock(t)}`);
  drawAll();
}

const rates = new Chart("rates", "Images", "per second", [
  { name: "offered", column: "offered", color: "c1" }, { name: "completed", column: "completed", color: "c2" }, { name: "from cache", column: "cached", color: "c4" },
  { name: "refused", column: "refused", color: "c3" }, { name: "failed", column: "failed", color: "c5" }, { name: "unusable", column: "unusable", color: "c6" }], number);
const latency = new Chart("latency", "Latency", "", [
  { name: "p50", column: "total_p50", color: "c2" }, { name: "p95", column: "total_p95", color: "c4" }, { name: "p99", column: "total_p99", color: "c3" }], milliseconds, { least: 0.1 });
const charts = [
  rates,
  latency,
  new Chart("queue", "Queue", "images", [
    { name: "waiting", column: "waiting", color: "c1" }, { name: "in progress", column: "working", color: "c2" }], number),
  new Chart("wait", "Estimated time to a result", "for an image that arrives then", [{ name: "result in", column: "wait", color: "c1" }], seconds, { least: 0.001 }),
  new Chart("share", "Results from the cache", "over ten seconds", [{ name: "from cache", column: "share", color: "c4" }], percent, { top: 100 }),
  new Chart("replicas", "Replicas", "number", [
    { name: "known", column: "replicas", color: "c1" }, { name: "healthy", column: "healthy", color: "c2" }, { name: "workers", column: "workers", color: "c4" }], number),
];

let drawing = false;
function drawAll() {
  if (drawing || document.hidden) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; for (const c of charts) c.draw(); });
}

function describeAll() { for (const c of charts) c.describe(); }

// ---- figures ----

function stagesOf() { return [...columns.keys()].filter((c) => c.endsWith("_p50")).map((c) => c.slice(0, -4)); }

function setStage() {
  const stage = $("stage").value || "total";
  for (const s of latency.series) s.column = `${stage}_${s.name}`;
  latency.caption.lastChild.textContent = stage === "total" ? "from arrival to result" : `in ${stage}`;
  latency.title = `Latency, ${stage}`;
  drawAll();
  describeAll();
}

function median(values) {
  const known = values.filter((v) => v !== null && v !== undefined).sort((a, b) => a - b);
  return known.length ? known[Math.floor(known.length / 2)] : null;
}

function rowOf(...cells) {
  const tr = element("tr");
  for (const c of cells) {
    const td = element("td");
    td.append(c);
    tr.append(td);
  }
  return tr;
}

function showStages() {
  const minute = rows.slice(-60);
  $("stages").replaceChildren(...stagesOf().map((stage) => {
    const cells = ["p50", "p95", "p99"].map((q) => milliseconds(median(minute.map((r) => at(r, `${stage}_${q}`)))));
    const tr = rowOf(...cells), th = element("th", stage);
    th.scope = "row";
    tr.prepend(th);
    return tr;
  }));
}

// cachedShare is the percentage of results from the cache in samples; null if there were no results.
function cachedShare(samples) {
  let cached = 0, completed = 0;
  for (const r of samples) { cached += at(r, "cached"); completed += at(r, "completed"); }
  return completed ? (100 * cached) / completed : null;
}

function show() {
  const row = rows.at(-1);
  if (!row || !state) return;
  setText("t-offered", number(at(row, "offered")));
  setText("t-completed", number(at(row, "completed")));
  setText("t-refused", number(at(row, "refused")));
  $("t-refused").className = at(row, "refused") ? "bad" : "";
  setText("t-waiting", number(at(row, "waiting")));
  setText("t-capacity", `waiting, of ${state.queue_capacity}`);
  setText("t-wait", seconds(at(row, "wait")));
  const recent = rows.slice(-10);
  setText("t-p95", milliseconds(median(recent.map((r) => at(r, "total_p95")))));
  setText("t-p99", `total; p99 ${milliseconds(median(recent.map((r) => at(r, "total_p99"))))}`);
  setText("t-cache", percent(cachedShare(rows.slice(-60))));
  setText("t-cache-size", `last minute; ${state.cache.size} entries`);
  setText("t-replicas", `${at(row, "healthy")} of ${at(row, "replicas")}`);
  $("t-replicas").className = at(row, "healthy") < at(row, "replicas") ? "bad" : "";
  const warnings = [state.storage_problem && `Storage rejects writes: ${state.storage_problem}`, state.warning, state.stopping && "The dispatcher is stopping."].filter(Boolean);
  $("warning").hidden = !warnings.length;
  setText("warning", warnings.join(" · "));
  showReplicas();
  showScaling();
  showStages();
}

// share writes how many images are equal. It does not round up: 100 % means all.
const share = (equal, compared) => `${Math.floor((1000 * equal) / compared) / 10} % of ${compared.toLocaleString("en")}`;

// agreementOf says how far a replica is on its way to int8 or bf16, and how often that has the label of fp32.
function agreementOf(q) {
  if (!q) return "–";
  const steps = { observing: "collecting images", calibrating: "calibrating", comparing: "comparing", adopted: "", refused: "fp32 is kept", withdrawn: "back to fp32" };
  return [q.compared && share(q.equal, q.compared), steps[q.state] ?? q.state].filter(Boolean).join(", ");
}

function showAgreement() {
  const all = state.int8_agreement; // of bf16 too: its precision says
  $("agreement-column").hidden = $("agreement").hidden = !all;
  if (!all) return;
  setText("agreement-column", `${all.precision} agreement`);
  const known = all.compared ? `In all, ${share(all.equal, all.compared)} images got the same best label from ${all.precision} as from fp32.` : "No image has been compared yet.";
  setText("agreement", `${all.precision} agreement: replicas compute some images in both precisions. ${known} A replica whose images agree too rarely uses fp32.`);
}

function showReplicas() {
  showAgreement();
  $("replicas").replaceChildren(...state.replicas.map((r) => {
    const busy = element("meter");
    busy.max = 1;
    busy.value = r.busy;
    busy.setAttribute("aria-hidden", "true");
    const cpu = element("span", ` ${Math.round(100 * r.busy)} %`);
    cpu.prepend(busy);
    const cells = [r.url, r.healthy ? element("span", "healthy", "good") : element("span", r.problem || "starting", "bad"),
      `${r.in_flight} of ${r.slots}`, number(r.images_per_second), r.latency ? seconds(r.latency) : "–", cpu, r.precision || "–", r.model || "–"];
    return rowOf(...cells, ...(state.int8_agreement ? [agreementOf(r.quantization)] : []));
  }));
  if (!state.replicas.length) $("replicas").append(rowOf("none known"));
}

function listOf(items) {
  const ul = element("ul");
  for (const i of items) ul.append(element("li", i));
  return ul;
}

let scalingShown = "";
function showScaling() {
  const s = state.scaling;
  if (!s) return;
  const text = JSON.stringify(s);
  if (text === scalingShown) return;
  scalingShown = text;
  const parts = [], m = s.summary;
  if (s.problem) parts.push(element("p", `The autoscaler does not answer: ${s.problem}`, "bad"));
  if (m) {
    const doing = [m.shadow || m.dry_run && "dry run: it changes nothing", !m.leading && "another one decides", m.starting && `${m.starting} starting`].filter(Boolean);
    parts.push(element("p", `Policy ${m.policy} wants ${m.replicas} ${m.replicas === 1 ? "replica" : "replicas"}; ${m.ready} ready${doing.length ? `; ${doing.join("; ")}` : ""}.`));
    if (m.problem) parts.push(element("p", m.problem, "bad"));
    if (m.why?.length) parts.push(element("b", "Why"), listOf(m.why));
    if (m.changes?.length) parts.push(element("b", "What would change it"), listOf(m.changes));
    if (m.later) parts.push(element("p", m.later));
    if (m.past?.length) {
      const ol = element("ol");
      for (const p of m.past) {
        const li = element("li");
        li.append(timeOf(p.at), `${p.was} → ${p.replicas}: ${p.why}${p.error ? ` (not applied: ${p.error})` : ""}`);
        ol.append(li);
      }
      ol.className = "changes";
      parts.push(element("b", "Changes, latest first"), ol);
    }
  }
  if (parts.length) $("scaling").replaceChildren(...parts);
}

function timeOf(text) {
  const t = element("time", clock(Date.parse(text) / 1000));
  t.dateTime = text;
  return t;
}

function addEvents(list) {
  for (const e of list) {
    const li = element("li", "", e.kind);
    li.append(timeOf(e.at), e.text);
    $("events").prepend(li);
  }
  while ($("events").children.length > 200) $("events").lastElementChild.remove();
}

// ---- the stream ----

function connected(text, on) {
  setText("link-text", text);
  $("link").firstElementChild.className = `dot ${on === null ? "" : on ? "on" : "off"}`;
}

// addShare adds the column "share" to a row: the percentage of results from the cache in the ten seconds until then.
function addShare(i) { rows[i].push(cachedShare(rows.slice(Math.max(0, i - 9), i + 1))); }

function receive(name, data) {
  if (name === "history") {
    columns = new Map([...data.columns, "share"].map((c, i) => [c, i]));
    rows = data.rows;
    rows.forEach((_, i) => addShare(i));
    state = data.state;
    const stage = $("stage").value || "total";
    $("stage").replaceChildren(...stagesOf().map((s) => { const o = element("option", s); o.value = s; return o; }));
    $("stage").value = stage;
    $("events").replaceChildren();
    addEvents(data.events);
    setStage();
  } else {
    rows.push(data.row);
    addShare(rows.length - 1);
    if (rows.length > keptSeconds) rows.splice(0, rows.length - keptSeconds);
    state = data.state;
    addEvents(data.events);
  }
  connected(state?.stopping ? "stopping" : "live", !state?.stopping);
  if (document.hidden) return;
  show();
  drawAll();
}

// read passes the events of one response to receive. EventSource cannot send a key, so this parses the format itself.
// It calls heard for each.
async function read(response, heard) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const event = rest.slice(0, end), name = event.match(/^event: (.*)$/m)?.[1], text = event.match(/^data: (.*)$/m)?.[1];
      if (!text) continue;
      heard();
      try {
        receive(name, JSON.parse(text));
      } catch (error) { // the server has responded; this is a fault of the page
        reportError(error);
      }
    }
  }
}

async function follow() {
  for (let failures = 0; ; ) {
    const dead = new AbortController();
    let timer = 0;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => dead.abort(), 1000 * silentSeconds);
    };
    heard();
    try {
      const response = await api("dashboard/stream", { cache: "no-store", signal: dead.signal });
      if (response.status === 403) { // the key stays until there is another one: it may permit sending pictures
        await askForKey((await response.json()).error);
        continue;
      }
      if (response.ok) {
        failures = 0;
        await read(response, heard);
        connected("connection ended; connecting again", false);
      } else {
        const { error, hint } = await response.json().catch(() => ({}));
        connected(`${error ?? `status ${response.status}`}${hint ? ` (${hint})` : ""}`, false);
      }
    } catch {
      connected(dead.signal.aborted ? "the server is silent; connecting again" : "server not reachable; trying again", false);
    } finally {
      clearTimeout(timer);
    }
    await sleep(Math.min(10, 1.5 ** failures++) * (0.7 + 0.6 * Math.random())); // spread, for a server that is back
  }
}

// ---- controls ----

$("pause").addEventListener("click", () => {
  paused = paused ? null : rows.slice();
  $("pause").setAttribute("aria-pressed", String(Boolean(paused)));
  setText("pause", paused ? "Continue" : "Pause");
  drawAll();
});
$("controls").addEventListener("change", () => { setStage(); describeAll(); });
$("controls").addEventListener("submit", (e) => e.preventDefault());
document.addEventListener("visibilitychange", () => { if (!document.hidden) { show(); drawAll(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
setInterval(describeAll, 10000);
setTimeout(describeAll, 1500);
whenKeyChanges((asked) => connected(asked ? "a key is required" : "connecting", asked ? false : null));
follow();
