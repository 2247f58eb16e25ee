// What both pages need: elements, and requests with the key that the server may require.

// What the pages load is below this address, whatever path leads to it.
export const root = new URL("../", import.meta.url);

export const $ = (id) => document.getElementById(id);

export function element(name, text = "", className = "") {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

// setText leaves an element alone that has the text, so that screen readers do not repeat it.
export function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// sleep ends early, with an error, when the signal is aborted.
export const sleep = (seconds, signal) => new Promise((done, failed) => {
  if (signal?.aborted) return failed(signal.reason);
  const abort = () => { clearTimeout(timer); failed(signal.reason); };
  const timer = setTimeout(() => { signal?.removeEventListener("abort", abort); done(); }, 1000 * seconds);
  signal?.addEventListener("abort", abort, { once: true });
});

const keyName = "resnet18cloud-key"; // in sessionStorage: it lives as long as the tab

export const currentKey = () => sessionStorage.getItem(keyName);

let keyGiven = null; // resolves when the user has entered a key; null while none is asked for
let keyChanged = () => {};

// whenKeyChanges calls f(asked) now, when a key is asked for, and when one was entered.
export function whenKeyChanges(f) {
  keyChanged = f;
  showKeyUse();
}

function showKeyUse() {
  $("key-used").hidden = currentKey() === null;
  keyChanged(keyGiven !== null);
}

// api is fetch of a path with the key, if there is one. If the server requires another one, it waits for it. An attempt may
// take the given seconds until its response is read, without the time for which the user is asked.
export async function api(path, { seconds = 0, signal, ...options } = {}) {
  for (;;) {
    const key = currentKey();
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    const signals = [signal, seconds && AbortSignal.timeout(1000 * seconds)].filter(Boolean);
    const response = await fetch(new URL(path, root), { ...options, headers, signal: AbortSignal.any(signals) });
    if (response.status !== 401) return response;
    const { error } = await response.json();
    if (currentKey() !== key) continue; // entered meanwhile
    sessionStorage.removeItem(keyName);
    await askForKey(key ? error : "");
  }
}

// askForKey shows the form, and resolves when the user has entered a key.
export function askForKey(problem) {
  if (keyGiven) return keyGiven.promise;
  keyGiven = Promise.withResolvers();
  $("key-problem").textContent = problem;
  $("key").hidden = false;
  $("token").focus();
  showKeyUse();
  return keyGiven.promise;
}

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(keyName, $("token").value.trim());
  $("token").value = "";
  $("key").hidden = true;
  const given = keyGiven;
  keyGiven = null;
  showKeyUse();
  given.resolve();
});

$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(keyName);
  location.reload();
});

// A browser sends no key when it follows a link, so the page fetches what it leads to.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-api]");
  if (!link || currentKey() === null) return;
  event.preventDefault();
  const tab = window.open("", "_blank"); // now, because browsers block windows that open later
  const response = await api(link.getAttribute("href"));
  const address = URL.createObjectURL(await response.blob());
  (tab ?? window).location = address;
  setTimeout(() => URL.revokeObjectURL(address), 60000); // it is loaded by then
});
