// The page: takes pictures for a batch, shows their results, and shows GET /status, GET /labels and GET /models.

import { Batch, table } from "./batch.js";
import { $, api, currentKey, element, root, setText, sleep, whenKeyChanges } from "./shared.js";

// Browsers open six connections to a host; four images at a time leave two for the status. With HTTP/2 they share one.
const maxAtOnce = /^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol) ? 16 : 4;
const maxItems = 2000; // so that the page's memory is bounded

// The stages of a request, in order. "replica" is the time in the replica beyond the three stages after it.
const stages = ["queue", "forward", "replica", "decode", "preprocess", "inference"];

function duration(seconds) {
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${(1000 * seconds).toFixed(0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

// ---- one image ----

// Thumbnails are loaded near the visible part only, so that a thousand pictures take no more memory than a few.
const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) cards.get(target)?.visible(isIntersecting);
}, { rootMargin: "400px" });

const cards = new Map(); // by their elements
const phases = { waiting: "waiting", sending: "sending", queued: "queued", processing: "in progress", unusable: "unusable", failed: "failed", cancelled: "cancelled" };

class Card {
  constructor(item) {
    this.item = item;
    this.root = $("card").content.cloneNode(true).firstElementChild;
    this.find(".name").textContent = this.find(".name").title = item.name;
    this.find(".open").setAttribute("aria-label", `Large view of ${item.name}`);
    const thumb = this.find(".thumb");
    thumb.onload = () => { thumb.hidden = false; };
    thumb.onerror = () => {
      this.visible(false);
      this.broken = true;
      this.find(".open").disabled = true;
      this.find(".open").append("no preview");
    };
    this.find(".open").addEventListener("click", () => showLarge(item));
    this.find(".cancel").addEventListener("click", () => batch.cancel(item));
    this.find(".retry").addEventListener("click", () => batch.retry(item));
    this.find(".copy").addEventListener("click", (event) => copy(labelText(item), event.currentTarget));
    cards.set(this.root, this);
    nearby.observe(this.root);
  }

  find(selector) { return this.root.querySelector(selector); }

  visible(yes) {
    const thumb = this.find(".thumb");
    if (yes === thumb.hasAttribute("src") || this.broken) return;
    if (yes) {
      thumb.src = URL.createObjectURL(this.item.picture);
      return;
    }
    URL.revokeObjectURL(thumb.src);
    thumb.removeAttribute("src");
    thumb.hidden = true;
  }

  remove() {
    this.visible(false);
    nearby.unobserve(this.root);
    cards.delete(this.root);
    this.root.remove();
  }

  // update shows the item's phase.
  update() {
    const { phase, note, answer, error, seconds } = this.item;
    const finished = phase === "done";
    const over = finished || phase === "unusable" || phase === "failed" || phase === "cancelled";
    this.root.dataset.phase = phase;
    const state = this.find(".state");
    state.textContent = finished ? (answer.from_cache ? "from cache" : duration(seconds)) : note ? `${phases[phase]}: ${note}` : phases[phase];
    state.className = `state ${phase}`;
    this.find(".cancel").hidden = over;
    this.find(".retry").hidden = !over || finished;
    this.find(".copy").hidden = !finished;
    const problem = this.find(".problem");
    problem.hidden = !error;
    problem.textContent = error?.message ?? "";
    problem.title = error?.detail ?? "";
    if (finished) this.show(answer);
  }

  show(answer) {
    const { result } = answer;
    this.find(".unknown").hidden = !result.unknown;
    this.find(".score").textContent = result.unknown_score === undefined ? "" : ` (score ${result.unknown_score.toPrecision(3)})`;
    this.find(".labels").replaceChildren(...labelLines(result));
    if (!answer.from_cache) this.showTiming(answer.timing ?? {});
    this.showFacts(answer);
    if (result.model && !this.item.model) showModel(result.model).catch(() => { shownModel = null; });
  }

  showTiming(timing) {
    const t = { ...timing };
    t.replica = Math.max(0, (t.replica ?? 0) - (t.decode ?? 0) - (t.preprocess ?? 0) - (t.inference ?? 0));
    const passed = stages.filter((s) => t[s] >= 5e-5); // shorter times would be shown as 0.0 ms
    if (passed.length === 0) return;
    this.find(".stages").replaceChildren(...passed.map((s) => {
      const part = element("div");
      part.style.flexGrow = 1e6 * t[s]; // with a sum below 1, the parts would not fill the bar
      part.style.background = `var(--${s})`;
      return part;
    }));
    this.find(".stage-text").replaceChildren(...passed.map((s) => {
      const text = element("span", `${s} ${duration(t[s])}`);
      const swatch = element("i");
      swatch.style.background = `var(--${s})`;
      text.prepend(swatch);
      return text;
    }));
    this.find(".timing").hidden = false;
  }

  showFacts(answer) {
    const facts = [answer.result.model, answer.result.precision, answer.replica_used].filter(Boolean).join(" · ");
    const link = element("a", "JSON");
    link.href = new URL(`result/${answer.request_id}`, root);
    link.dataset.api = "";
    this.find(".facts").replaceChildren(facts ? `${facts} · ` : "", link);
  }
}

const scoresOf = (result) => result.scores ?? (result.predictions ?? []).map((label) => ({ label }));

// labelLines returns list items for the labels of a result.
function labelLines(result) {
  return scoresOf(result).map(({ label, logit, probability }) => {
    const line = element("li");
    line.append(element("span", label));
    if (probability !== undefined) {
      const bar = element("span", "", "bar");
      bar.style.width = `${100 * probability}%`;
      line.append(bar, element("span", `${(100 * probability).toFixed(1)} %`));
    } else if (logit !== undefined) {
      line.append(element("span"), element("span", logit.toFixed(3)));
    }
    return line;
  });
}

function labelText({ answer: { result } }) {
  return scoresOf(result).map(({ label, logit, probability }) => `${label}\t${probability ?? logit ?? ""}`).join("\n");
}

// copy puts text into the clipboard, and says so on the button. Without HTTPS browsers have no other way than execCommand.
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const before = button.dataset.text ??= button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

$("copy-curl").addEventListener("click", (event) => copy($("curl").textContent, event.currentTarget));

// ---- the batch ----

const shown = new Map(); // cards by items

const batch = new Batch({ api, atOnce: maxAtOnce, changed: (item) => {
  shown.get(item)?.update();
  refreshSoon();
} });

let began = 0; // when the present run of pictures began

// enqueue adds pictures in their order, above earlier ones.
function enqueue(pictures) {
  const room = maxItems - batch.items.length;
  $("sample-problem").textContent = pictures.length <= room ? "" :
    `At most ${maxItems} pictures are shown at a time: ${pictures.length - room} were not taken. Clear the list, then add them.`;
  const counts = batch.counts();
  if (counts.total === counts.ended) began = performance.now();
  const list = document.createDocumentFragment();
  for (const { name, picture } of pictures.slice(0, room)) {
    const item = batch.add(name, picture, $("model-choice").value);
    const card = new Card(item);
    shown.set(item, card);
    card.update();
    list.append(card.root);
  }
  $("results").prepend(list);
  refresh();
}

let refreshing = 0; // timer; 0 if none

function refreshSoon() { refreshing ||= setTimeout(refresh, 100); }

// refresh shows how far the batch is.
function refresh() {
  clearTimeout(refreshing);
  refreshing = 0;
  const n = batch.counts();
  $("none").hidden = n.total > 0;
  $("batch").hidden = n.total === 0;
  $("progress").max = Math.max(1, n.total);
  $("progress").value = n.ended;
  const parts = [`${n.ended} of ${n.total} done`];
  for (const what of ["unusable", "failed", "cancelled"]) if (n[what]) parts.push(`${n[what]} ${what}`);
  const seconds = (performance.now() - began) / 1000;
  const left = n.total - n.ended;
  const said = left === 0 ? parts.join(", ") : ""; // screen readers hear the end, not each picture
  if (left > 10 && n.ended > 10 && seconds > 2) parts.push(`about ${duration(Math.max(1, seconds * left / n.ended))} left`);
  $("progress-text").textContent = parts.join(" · ");
  const problem = left > 0 ? batch.problem() : "";
  setText("busy", problem);
  $("cancel-all").disabled = left === 0;
  $("retry-all").disabled = n.failed + n.cancelled === 0;
  $("save-csv").disabled = $("save-json").disabled = $("clear").disabled = n.ended === 0;
  document.title = left > 0 ? `(${n.ended}/${n.total}) ResNet18Cloud` : "ResNet18Cloud";
  if (n.total > 0) setText("announce", said);
  if (problem) refreshing = setTimeout(refresh, 500); // it ends without a change of an item
}

$("cancel-all").addEventListener("click", () => batch.items.forEach((item) => batch.cancel(item)));
$("retry-all").addEventListener("click", () => {
  began = performance.now();
  for (const item of batch.items) if (item.phase === "failed" || item.phase === "cancelled") batch.retry(item);
});
$("clear").addEventListener("click", () => {
  for (const item of batch.clear()) {
    shown.get(item).remove();
    shown.delete(item);
  }
  refresh();
});

function save(name, type, text) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const best = [0, 1, 2, 3, 4];

function asCSV() {
  const rows = batch.items.map(({ name, phase, answer, error }) => {
    const result = answer?.result ?? {};
    const scores = scoresOf(result);
    return [name, phase, error?.message, result.unknown, result.model, answer?.request_id,
      ...best.flatMap((i) => [scores[i]?.label, scores[i]?.probability ?? scores[i]?.logit])];
  });
  return table([["file", "state", "problem", "unknown", "model", "request", ...best.flatMap((i) => [`label ${i + 1}`, `score ${i + 1}`])], ...rows]);
}

function asJSON() {
  return JSON.stringify(batch.items.map(({ name, phase, answer, error }) => ({ file: name, state: phase, error, answer })), null, 1);
}

$("save-csv").addEventListener("click", () => save("results.csv", "text/csv;charset=utf-8", `\ufeff${asCSV()}`)); // Excel needs the mark
$("save-json").addEventListener("click", () => save("results.json", "application/json", asJSON()));

// ---- the large view ----

let large = null; // item in the large view

function showLarge(item) {
  URL.revokeObjectURL($("large-picture").src);
  large = item;
  $("large-name").textContent = item.name;
  $("large-picture").src = URL.createObjectURL(item.picture);
  $("large-picture").alt = item.answer?.result.predictions?.[0] ?? item.name;
  $("large-labels").replaceChildren(...(item.answer ? labelLines(item.answer.result) : []));
  $("large-facts").textContent = item.error?.message ?? [item.answer?.result.model, item.answer?.result.precision].filter(Boolean).join(" · ");
  $("previous").disabled = !beside(-1);
  $("next").disabled = !beside(1);
  if (!$("large").open) $("large").showModal();
}

// beside returns the item that is shown before or after the large one and has a picture.
function beside(step) {
  let card = shown.get(large)?.root;
  do card = step < 0 ? card?.previousElementSibling : card?.nextElementSibling; while (card && cards.get(card).broken);
  return card && cards.get(card).item;
}

function step(by) {
  const item = beside(by);
  if (item) showLarge(item);
}

$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => $("large").close());
$("large").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("large").addEventListener("close", () => {
  URL.revokeObjectURL($("large-picture").src);
  $("large-picture").removeAttribute("src");
});

// ---- sources of images ----

function takeFiles(files) {
  enqueue(Array.from(files, (file) => ({ name: file.name || "pasted", picture: file })));
}

$("files").addEventListener("change", (event) => {
  takeFiles(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length > 0) takeFiles(event.clipboardData.files);
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") takeFiles(event.dataTransfer.files);
  });
}

// rasterise turns a drawing into a JPEG: the server does not accept SVG.
async function rasterise(drawing) {
  const image = new Image();
  image.src = URL.createObjectURL(drawing);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 400;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

async function classifySample({ name, url }) {
  const file = await (await fetch(new URL(url, root))).blob();
  enqueue([{ name, picture: file.type.startsWith("image/svg") ? await rasterise(file) : file }]);
}

async function loadSamples() {
  const samples = await (await fetch(new URL("page/samples.json", root))).json();
  $("samples").replaceChildren(...samples.filter((sample) => !sample.hidden).map((sample) => {
    const image = element("img");
    image.src = new URL(sample.small, root);
    image.alt = sample.title;
    image.loading = "lazy";
    const button = element("button");
    button.type = "button";
    button.title = sample.title;
    button.append(image);
    button.addEventListener("click", () => classifySample(sample));
    const item = element("li");
    item.append(button);
    return item;
  }));
  // A link to ./?sample=candle shows a result.
  const requested = new URLSearchParams(location.search).getAll("sample");
  for (const title of requested) {
    const sample = samples.find((s) => s.title === title);
    if (sample) await classifySample(sample);
    else $("sample-problem").textContent = `There is no sample ${title}. There are: ${samples.map((s) => s.title).join(", ")}.`;
  }
}

// ---- the model ----

let shownModel = null; // identity of the model whose classes are shown or being asked for; null if none

// showModel shows the name of a model and the number of its classes, which it asks for when the model has changed.
async function showModel(model) {
  if (model === shownModel) return;
  shownModel = model;
  const response = await api("labels");
  if (!response.ok) { // a replica of the prototype, or one that has just ended
    $("serves").textContent = `Model ${model}`;
    return;
  }
  const { model: name, classes, labels } = await response.json();
  const count = classes === 1 ? "1 class" : `${classes.toLocaleString("en")} classes`;
  const what = classes === 0 ? "no classes, only embeddings" : labels ? count : `${count} without names`;
  $("serves").textContent = `Model ${name}: ${what}`;
  $("serves").title = labels && labels.length <= 100 ? labels.join(", ") : "";
}

// loadModels offers a choice if the service has several models.
async function loadModels() {
  const response = await api("models");
  if (!response.ok) return; // an older server, or a key that does not permit it
  const body = await response.json();
  const names = new Set((body.models ?? []).filter((m) => !m.state || m.state === "serving").map((m) => m.name));
  $("choice").hidden = names.size < 2;
  if (names.size < 2) return;
  const standard = new Option(body.default ? `${body.default} (default)` : "default", "");
  $("model-choice").replaceChildren(standard, ...[...names].filter((name) => name !== body.default).map((name) => new Option(name, name)));
}

// ---- the system ----

const history = []; // images queued and in progress, once per second
const historyLength = 120;

function drawChart(now) {
  history.push(now);
  if (history.length > historyLength) history.shift();
  const peak = Math.max(...history);
  const x = (i) => 240 * (i + historyLength - history.length) / (historyLength - 1);
  const y = (v) => 58 - 54 * v / Math.max(peak, 4);
  const line = history.map((v, i) => `L${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${x(0).toFixed(1)} 60${line}L240 60Z`);
  $("chart").replaceChildren(path);
  $("peak").textContent = peak;
}

function showStatus(status) {
  status.endpoints ??= [];
  showHealth(status);

  $("warning").hidden = !status.warning;
  setText("warning", status.warning ?? "");

  const queue = status.queue_metrics;
  $("waiting").textContent = `${status.queue_size} of ${queue.queue_capacity}`;
  $("processing").textContent = status.slots > 0 ? `${status.processing} of ${status.slots}` : status.processing;
  $("completed").textContent = status.successful_requests.toLocaleString("en");
  $("failed").textContent = (status.failed_requests - (status.unusable_images ?? 0)).toLocaleString("en");
  $("unusable").textContent = (status.unusable_images ?? 0).toLocaleString("en");
  $("refused").textContent = (status.scaling?.refused ?? 0).toLocaleString("en");
  $("cache").textContent = `${status.cache_metrics.hit_rate.toFixed(0)} %`;
  $("estimate").textContent = status.estimated_wait === undefined ? "–" : duration(status.estimated_wait);
  drawChart(status.queue_size + status.processing);

  $("replicas").replaceChildren(...status.endpoints.map((e) => {
    const row = element("tr");
    const state = element("td", e.healthy ? "healthy" : inWords(e.problem), e.healthy ? "" : "unhealthy");
    state.title = e.problem ?? "";
    row.append(
      element("td", e.url.replace("http://", "")),
      state,
      element("td", e.healthy ? `${e.in_flight} of ${e.slots}` : ""));
    return row;
  }));
  const reported = status.endpoints.find((e) => e.healthy && e.model);
  if (reported) showModel(reported.model).catch(() => { shownModel = null; });
  const models = new Set(status.endpoints.filter((e) => e.model).map((e) => `${e.model}, ${e.precision}`));
  $("model").textContent = [...models].join("; ");
}

let refusals = []; // [time, instance, total] of the last ten seconds

function showHealth(status) {
  const now = performance.now();
  refusals.push([now, status.instance, status.scaling?.refused ?? 0]);
  refusals = refusals.filter(([time, instance]) => now - time < 10000 && instance === status.instance);
  const refused = refusals.at(-1)[2] - refusals[0][2];
  const count = status.endpoints.length;
  const unhealthy = status.endpoints.filter((e) => !e.healthy).length;
  if (status.storage_problem) setHealth("bad", "nothing can be stored");
  else if (status.slots === 0 || (count > 0 && unhealthy === count)) setHealth("bad", count === 0 ? "no replica yet" : "no healthy replica");
  else if (refused > 0) setHealth("busy", `overloaded: ${refused.toLocaleString("en")} refused in 10 s`);
  else if (status.queue_size >= status.queue_metrics.queue_capacity) setHealth("busy", "the queue is full");
  else if (unhealthy > 0) setHealth("busy", `${unhealthy} of ${count} replicas unhealthy`);
  else setHealth("good", "healthy");
}

// inWords shortens what a replica's probe reports. The whole text is in the cell's title.
function inWords(problem = "") {
  if (/connection refused|reset|EOF|broken pipe/.test(problem)) return "not reachable";
  if (/deadline|timeout|timed out/i.test(problem)) return "does not respond";
  if (/no such host/.test(problem)) return "name not found";
  if (/certificate|tls/i.test(problem)) return "no trusted connection";
  return problem === "" ? "not checked yet" : problem.length > 60 ? "unhealthy" : problem;
}

function setHealth(state, text) {
  document.querySelector("#health .dot").className = `dot ${state}`;
  setText("health-text", text);
}

let connected = false; // the server has responded since the page was opened, or since it was gone

async function watchStatus() {
  for (;;) {
    if (!document.hidden) {
      try {
        await showState();
        if (!connected) {
          connected = true;
          loadModels().catch(() => {}); // the choice is optional
        }
      } catch {
        setHealth("bad", "the server does not respond; trying again");
        connected = false;
      }
    }
    await sleep(1);
  }
}

let withoutState = null; // the key that does not permit reading the state; null if none is known

// showState shows the state of the server. If the key does not permit reading it, it says so, and shows only whether the
// server is ready.
async function showState() {
  const key = currentKey();
  const hidden = key !== null && key === withoutState;
  const response = await api(hidden ? "health/ready" : "status", { seconds: 5 });
  if (response.status === 403) withoutState = currentKey();
  $("hidden-state").hidden = withoutState === null;
  $("state").hidden = withoutState !== null;
  if (response.status === 403) return;
  const body = await response.json();
  if (!response.ok) setHealth("bad", body.error);
  else if (hidden) setHealth("good", "healthy");
  else {
    try {
      showStatus(body);
    } catch (error) { // the server has responded; this is a fault of the page
      reportError(error);
    }
  }
}

$("local").hidden = location.protocol === "https:" || !/^(localhost|127\..*|\[::1\])$/.test(location.hostname);
$("port").textContent = ":" + (location.port || "80");
whenKeyChanges((asked) => {
  if (asked) setHealth("bad", "a key is required");
  else withoutState = null;
  const header = asked || currentKey() !== null ? `-H "Authorization: Bearer $TOKEN" \\\n  ` : "";
  $("curl").textContent = `curl ${header}-F image=@picture.jpg \\\n  ${root}predict`;
});
loadSamples().catch(() => { $("sample-problem").textContent = "The samples cannot be loaded. Load the page again."; });
watchStatus();
