// The page: sends pictures to POST /predict_async, waits on GET /result/{id}, and draws GET /status.

const $ = (id) => document.getElementById(id);

// Browsers open six connections to a host; four pictures at a time leave two for the status.
const maxAtOnce = 4;
const maxCards = 50;

// The stages of an answer, in its order of travel. "replica" is what the replica adds to the three behind it.
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

// ---- one picture ----

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
    this.state("waiting to be sent");
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
    this.find(".labels").replaceChildren(...scores.map(({ label, probability }) => {
      const line = element("li");
      line.append(element("span", label));
      if (probability !== undefined) {
        const bar = element("span", "", "bar");
        bar.style.width = `${100 * probability}%`;
        line.append(bar, element("span", `${(100 * probability).toFixed(1)} %`));
      }
      return line;
    }));
    if (!answer.from_cache) this.showTiming(answer.timing ?? {});
    this.showFacts(answer);
  }

  showTiming(timing) {
    const t = { ...timing };
    t.replica = Math.max(0, (t.replica ?? 0) - (t.decode ?? 0) - (t.preprocess ?? 0) - (t.inference ?? 0));
    const passed = stages.filter((s) => t[s] >= 5e-5); // less would be shown as 0.0 ms
    if (passed.length === 0) return;
    this.find(".stages").replaceChildren(...passed.map((s) => {
      const part = element("div");
      part.style.flexGrow = 1e6 * t[s]; // a sum below 1 would not fill the bar
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
    const response = await fetch("/predict_async", { method: "POST", body: form });
    answer = await response.json();
    if (response.ok) break;
    if (response.status !== 503) return card.fail(answer.error, answer.hint);
    const wait = answer.retry_after || 1;
    card.state(`${answer.error.toLowerCase()}, sent again in ${duration(wait)}`);
    await sleep(wait);
  }
  while (answer.status === "queued" || answer.status === "processing") {
    card.state(answer.status);
    const response = await fetch(`/result/${answer.request_id}?wait=10s`);
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
      next.card.fail("No answer from the server", error.message);
    }
  }
  running--;
}

// ---- where pictures come from ----

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

// rasterise makes a JPEG of a drawing, as the server reads no SVG.
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
  // /?sample=candle shows a result to whoever follows the link.
  const asked = new URLSearchParams(location.search).getAll("sample");
  samples.filter((sample) => asked.includes(sample.title)).forEach(classifySample);
}

// ---- the system ----

const history = []; // images in the system, one number a second
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
  const sick = status.endpoints.filter((e) => !e.healthy).length;
  const count = status.endpoints.length;
  if (count === 0 || sick === count) setHealth("bad", count === 0 ? "no replica yet" : "no replica answers");
  else setHealth("good", sick === 0 ? "healthy" : `healthy, ${sick} of ${count} replicas do not answer`);

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
      element("td", e.healthy ? "serves" : (e.problem || "not asked yet"), e.healthy ? "" : "sick"),
      element("td", e.healthy ? `${e.in_flight} of ${e.slots}` : ""));
    return row;
  }));
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
        const response = await fetch("/status");
        const body = await response.json();
        if (response.ok) showStatus(body);
        else setHealth("bad", body.error);
      } catch {
        setHealth("bad", "dispatcher does not answer");
      }
    }
    await sleep(1);
  }
}

$("curl").textContent = `curl -F image=@picture.jpg \\\n  ${location.origin}/predict`;
loadSamples();
watchStatus();
