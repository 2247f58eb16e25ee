// The page: sends images to POST /predict_async, waits on GET /result/{id}, and shows GET /status and GET /labels.

const $ = (id) => document.getElementById(id);

// Browsers open six connections to a host; four images at a time leave two for the status.
const maxAtOnce = 4;
const maxCards = 50;

// The stages of a request, in order. "replica" is the time in the replica beyond the three stages after it.
const stages = ["queue", "forward", "replica", "decode", "preprocess", "inference"];

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function duration(seconds) {
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${(1000 * seconds).toFixed(0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

function element(name, text = "", className = "") {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

// ---- the server, and the key that it may require ----

const keyName = "resnet18cloud-key"; // in sessionStorage: it lives as long as the tab

let keyGiven = null; // resolves when the user has entered a key; null while none is asked for

// api requests a path with the key, if there is one. If the server requires another one, it waits for it.
async function api(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(keyName);
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const response = await fetch(path, { ...options, headers });
    if (response.status !== 401) return response;
    if (sessionStorage.getItem(keyName) !== key) continue; // entered meanwhile
    const { error } = await response.json();
    await askForKey(key ? error : "");
  }
}

// askForKey shows the form, and resolves when the user has entered a key.
function askForKey(problem) {
  if (keyGiven) return keyGiven.promise;
  keyGiven = Promise.withResolvers();
  sessionStorage.removeItem(keyName);
  setHealth("bad", "a key is required");
  $("key-problem").textContent = problem;
  $("key").hidden = false;
  $("token").focus();
  showKeyUse();
  return keyGiven.promise;
}

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(keyName, $("token").value.trim());
  withoutState = null;
  $("token").value = "";
  $("key").hidden = true;
  showKeyUse();
  const given = keyGiven;
  keyGiven = null;
  given.resolve();
});

$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(keyName);
  location.reload();
});

function showKeyUse() {
  const used = sessionStorage.getItem(keyName) !== null;
  $("key-used").hidden = !used;
  const header = used || keyGiven ? `-H "Authorization: Bearer $TOKEN" \\\n  ` : "";
  $("curl").textContent = `curl ${header}-F image=@picture.jpg \\\n  ${location.origin}/predict`;
}

// A browser sends no key when it follows a link, so the page fetches what it leads to.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-api]");
  if (!link || !sessionStorage.getItem(keyName)) return;
  event.preventDefault();
  const tab = window.open("", "_blank"); // now, because browsers block windows that open later
  const response = await api(link.getAttribute("href"));
  (tab ?? window).location = URL.createObjectURL(await response.blob());
});

// ---- one image ----

class Card {
  constructor(name, picture) {
    this.root = $("card").content.cloneNode(true).firstElementChild;
    this.find(".name").textContent = name;
    const thumb = this.find(".thumb");
    thumb.src = URL.createObjectURL(picture);
    thumb.onerror = () => { thumb.removeAttribute("src"); };
    $("none").hidden = true;
    $("results").prepend(this.root);
    while ($("results").children.length > maxCards) {
      const last = $("results").lastElementChild;
      URL.revokeObjectURL(last.querySelector(".thumb").src);
      last.remove();
    }
    this.state("waiting");
  }

  find(selector) { return this.root.querySelector(selector); }

  state(text, className = "") {
    const e = this.find(".state");
    if (e.textContent !== text) e.textContent = text;
    e.className = `state ${className}`;
  }

  fail(message, hint) {
    this.state("failed", "failed");
    const p = this.find(".problem");
    p.textContent = hint ? `${message}: ${hint}` : message;
    p.hidden = false;
  }

  show(answer, seconds) {
    const { result } = answer;
    this.state(answer.from_cache ? "from cache" : duration(seconds));
    const scores = result.scores ?? result.predictions.map((label) => ({ label }));
    this.find(".unknown").hidden = !result.unknown;
    this.find(".labels").replaceChildren(...scores.map(({ label, logit, probability }) => {
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
    }));
    if (!answer.from_cache) this.showTiming(answer.timing ?? {});
    this.showFacts(answer);
    if (result.model) showModel(result.model).catch(() => { shownModel = null; });
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
    link.href = `/result/${answer.request_id}`;
    link.dataset.api = "";
    this.find(".facts").replaceChildren(facts ? `${facts} · ` : "", link);
  }
}

async function classify(name, picture, card) {
  const form = new FormData();
  form.append("image", picture, name);
  const started = performance.now();
  let answer;
  for (;;) {
    card.state("sending");
    const response = await api("/predict_async", { method: "POST", body: form });
    answer = await response.json();
    if (response.ok) break;
    if (response.status !== 503 && response.status !== 429) return card.fail(answer.error, answer.hint);
    const wait = answer.retry_after || 1;
    card.state(`${answer.error.toLowerCase()}; retrying in ${duration(wait)}`);
    await sleep(wait);
  }
  while (answer.status === "queued" || answer.status === "processing") {
    card.state(answer.status);
    const response = await api(`/result/${answer.request_id}?wait=10s`);
    answer = await response.json();
    if (!response.ok) return card.fail(answer.error, answer.hint);
  }
  if (answer.status !== "completed") return card.fail(answer.error ?? answer.status, answer.hint);
  card.show(answer, (performance.now() - started) / 1000);
}

const waiting = [];
let running = 0;

function enqueue(name, picture) {
  waiting.push({ name, picture, card: new Card(name, picture) });
  while (running < maxAtOnce && waiting.length > 0) work();
}

async function work() {
  running++;
  for (let next; (next = waiting.shift());) {
    try {
      await classify(next.name, next.picture, next.card);
    } catch (error) {
      next.card.fail("No response from the server", error.message);
    }
  }
  running--;
}

// ---- sources of images ----

function takeFiles(files) {
  for (const file of files) enqueue(file.name || "pasted", file);
}

$("files").addEventListener("change", (event) => {
  takeFiles(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => takeFiles(event.clipboardData.files));
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
  const file = await (await fetch(url)).blob();
  enqueue(name, file.type.startsWith("image/svg") ? await rasterise(file) : file);
}

async function loadSamples() {
  const samples = await (await fetch("/page/samples.json")).json();
  $("samples").replaceChildren(...samples.map((sample) => {
    const image = element("img");
    image.src = sample.url;
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
  // A link to /?sample=candle shows a result.
  const requested = new URLSearchParams(location.search).getAll("sample");
  samples.filter((sample) => requested.includes(sample.title)).forEach(classifySample);
}

// ---- the model ----

let shownModel = null; // identity of the model whose classes are shown or being asked for; null if none

// showModel shows the name of a model and the number of its classes, which it asks for when the model has changed.
async function showModel(model) {
  if (model === shownModel) return;
  shownModel = model;
  const response = await api("/labels");
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
  const unhealthy = status.endpoints.filter((e) => !e.healthy).length;
  const count = status.endpoints.length;
  if (count === 0 || unhealthy === count) setHealth("bad", count === 0 ? "no replica yet" : "no healthy replica");
  else setHealth("good", unhealthy === 0 ? "healthy" : `healthy; ${unhealthy} of ${count} replicas unhealthy`);

  $("warning").hidden = !status.warning;
  if ($("warning").textContent !== (status.warning ?? "")) $("warning").textContent = status.warning ?? "";

  const queue = status.queue_metrics;
  $("waiting").textContent = `${status.queue_size} of ${queue.queue_capacity}`;
  $("processing").textContent = `${status.processing} of ${status.slots}`;
  $("completed").textContent = status.successful_requests.toLocaleString("en");
  $("failed").textContent = status.failed_requests.toLocaleString("en");
  $("cache").textContent = `${status.cache_metrics.hit_rate.toFixed(0)} %`;
  $("estimate").textContent = status.estimated_wait === undefined ? "–" : duration(status.estimated_wait);
  drawChart(status.queue_size + status.processing);

  $("replicas").replaceChildren(...status.endpoints.map((e) => {
    const row = element("tr");
    row.append(
      element("td", e.url.replace("http://", "")),
      element("td", e.healthy ? "healthy" : (e.problem || "unknown"), e.healthy ? "" : "unhealthy"),
      element("td", e.healthy ? `${e.in_flight} of ${e.slots}` : ""));
    return row;
  }));
  const reported = status.endpoints.find((e) => e.healthy && e.model);
  if (reported) showModel(reported.model).catch(() => { shownModel = null; });
  const models = new Set(status.endpoints.filter((e) => e.model).map((e) => `${e.model}, ${e.precision}`));
  $("model").textContent = [...models].join("; ");
}

function setHealth(state, text) {
  document.querySelector("#health .dot").className = `dot ${state}`;
  if ($("health-text").textContent !== text) $("health-text").textContent = text;
}

async function watchStatus() {
  for (;;) {
    if (!document.hidden) {
      try {
        await showState();
      } catch {
        setHealth("bad", "dispatcher does not respond");
      }
    }
    await sleep(1);
  }
}

let withoutState = null; // the key that does not permit reading the state; null if none is known

// showState shows the state of the server. If the key does not permit reading it, it says so, and shows only whether the
// server is ready.
async function showState() {
  const key = sessionStorage.getItem(keyName);
  const hidden = key !== null && key === withoutState;
  const response = await api(hidden ? "/health/ready" : "/status");
  if (response.status === 403) withoutState = sessionStorage.getItem(keyName);
  $("hidden-state").hidden = withoutState === null;
  $("state").hidden = withoutState !== null;
  if (response.status === 403) return;
  const body = await response.json();
  if (!response.ok) setHealth("bad", body.error);
  else if (hidden) setHealth("good", "healthy");
  else showStatus(body);
}

$("local").hidden = location.protocol === "https:" || !/^(localhost|127\..*|\[::1\])$/.test(location.hostname);
showKeyUse();
loadSamples();
watchStatus();
