// Small behaviours of the console. Every page works without them.
"use strict";

// Instants are rendered in UTC; this shows them in the browser's time zone, and keeps UTC as the title.
function localize(root) {
  for (const time of root.querySelectorAll("time:not([title])")) {
    const at = new Date(time.dateTime || time.textContent.trim().replace(" ", "T"));
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.dateTime = at.toISOString();
    const day = at.toLocaleDateString("sv-SE");
    time.textContent = `${day} ${at.toLocaleTimeString("sv-SE")}`;
    const timeZone = time.closest("[data-zone]")?.dataset.zone;
    if (timeZone) time.title += ` · ${inZone(at, timeZone)} ${timeZone}`;
  }
}

// The browser may not know a zone that the server knows.
function inZone(at, timeZone) {
  try {
    return at.toLocaleString("sv-SE", { timeZone });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return "?";
  }
}

// The running clock of what is awaited.
function count() {
  for (const one of document.querySelectorAll("[data-until]")) {
    const seconds = Math.round((new Date(one.dataset.until) - Date.now()) / 1000);
    const [minutes, rest] = [Math.floor(Math.abs(seconds) / 60), Math.abs(seconds) % 60];
    const text = `${seconds < 0 ? "+" : "−"}${minutes}:${String(rest).padStart(2, "0")}`;
    if (one.textContent !== text) one.textContent = text;
  }
}

function connectCopies() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.copied;
  });
}

// The slider shows the call at any of its events. The address keeps the sequence, so it can be sent to a colleague.
function connectSlider() {
  const slider = document.getElementById("slider");
  const position = document.getElementById("position");
  if (!slider || !position) return;
  const sequences = () => document.getElementById("story").dataset.sequences.split(",");
  // The position of the next begin of a turn or an attempt, or of the one before.
  const turn = (step) => {
    const all = sequences().map(Number);
    const now = all[Number(position.value)];
    const starts = document.getElementById("story").dataset.turns.split(",").map(Number);
    const wanted = step < 0 ? starts.findLast((one) => one < now) ?? all[0] : starts.find((one) => one > now) ?? all.at(-1);
    return all.findIndex((one) => one >= wanted);
  };
  const isAtEnd = () => position.value === position.max;
  let waiting = 0;
  const show = () => {
    const query = `?at=${sequences()[Number(position.value)]}`;
    history.replaceState(null, "", slider.dataset.path + query);
    htmx.ajax("GET", `${slider.dataset.path}/story${query}`, { source: slider, target: "#story", swap: "outerHTML" });
  };
  position.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 50);
  });
  // A call in progress gets further events. They are shown unless an earlier one was chosen.
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (!isAtEnd()) event.preventDefault();
  });
  document.addEventListener("htmx:sse:after:message", () => {
    if (!isAtEnd()) return;
    position.max = String(sequences().length - 1);
    position.value = position.max;
  });
  document.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || isTyping(event) || (event.target === position && !event.shiftKey)) return;
    const isTurn = event.shiftKey && event.key.startsWith("Arrow");
    const wanted = isTurn ? turn(steps[event.key]) : Number(position.value) + steps[event.key];
    position.value = String(Math.max(0, Math.min(Number(position.max), wanted)));
    position.dispatchEvent(new Event("input"));
    event.preventDefault();
  });
}

function isTyping(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return event.target instanceof Element && event.target.matches("input:not([type=range]), select, textarea");
}

function connectKeys() {
  const keys = document.getElementById("keys");
  if (!keys) return;
  document.getElementById("show-keys").addEventListener("click", () => keys.showModal());
  document.addEventListener("keydown", (event) => {
    if (isTyping(event)) return;
    if (event.key === "?") keys.showModal();
    else if (event.key === "/") document.getElementById("find").focus();
    else {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (!link) return;
      link.click();
    }
    event.preventDefault();
  });
}

// One box marks all calls of the page. Without this script, each is marked by itself.
function connectSelection() {
  const all = document.getElementById("select-all");
  if (!all) return;
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of document.querySelectorAll("input[name=call], input[name=dead_letter]")) box.checked = all.checked;
  });
}

// A file of contacts is sent with its progress, and the result is shown without loading the page: so the chosen file
// stays in its field, and the import after the check needs no second choice.
function connectImport() {
  const form = document.getElementById("import-form");
  if (!form) return;
  const [sending, bar, broken] = ["import-sending", "import-progress", "import-broken"].map((id) => document.getElementById(id));
  let request = null;
  const show = (isSending) => {
    sending.hidden = !isSending;
    for (const button of form.elements) if (button.matches("button")) button.disabled = isSending;
  };
  const showAnswer = (page) => {
    const result = document.getElementById("import-result");
    const answer = page.getElementById("import-result") || page.getElementById("main");
    result.replaceChildren(...answer.childNodes);
    result.focus();
  };
  form.addEventListener("submit", (event) => {
    if (event.submitter && "download" in event.submitter.dataset) return;
    event.preventDefault();
    if (request) return;
    request = new XMLHttpRequest();
    request.open("POST", event.submitter?.getAttribute("formaction") || form.action);
    request.responseType = "document";
    request.upload.addEventListener("progress", (sent) => {
      if (sent.lengthComputable && sent.loaded < sent.total) bar.value = sent.loaded / sent.total;
      else bar.removeAttribute("value"); // all is sent; its end is not known
    });
    request.addEventListener("loadend", () => {
      const { status, response } = request;
      request = null;
      show(false);
      if (status === 401) location.assign(new URL(form.action).pathname);
      else if (response) showAnswer(response);
      else broken.hidden = false;
    });
    broken.hidden = true;
    bar.value = 0;
    show(true);
    request.send(new FormData(form));
  });
  document.getElementById("import-cancel").addEventListener("click", () => request?.abort());
}

// What became of a stream of events, in a sentence that says what to do.
function showNotice({ kind, detail }) {
  const notice = document.getElementById("stream-notice");
  if (!notice?.querySelector(`[data-kind="${CSS.escape(kind)}"]`)) return;
  for (const one of notice.querySelectorAll("[data-kind]")) one.hidden = one.dataset.kind !== kind;
  document.getElementById("stream-detail").textContent = detail;
  notice.hidden = false;
}

// The streams of htmx. A connection that is lost for a moment is no news: it is back before anyone has read that.
function connectNotices() {
  let isOver = false;
  let waiting = 0;
  const end = (message) => {
    isOver = true;
    clearTimeout(waiting);
    showNotice(message);
  };
  document.addEventListener("stop", (event) => end(JSON.parse(event.detail.data)));
  document.addEventListener("away", (event) => showNotice(JSON.parse(event.detail.data)));
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (isOver) event.preventDefault();
  });
  document.addEventListener("htmx:sse:after:message", (event) => {
    if (event.detail.message.event) return;
    clearTimeout(waiting);
    waiting = 0;
    document.getElementById("stream-notice").hidden = true;
  });
  document.addEventListener("htmx:sse:error", (event) => {
    if (event.detail.status === 401) end({ kind: "ended", detail: "" });
    else waiting ||= setTimeout(() => showNotice({ kind: "lost", detail: "" }), 2000);
  });
  document.addEventListener("htmx:before:request", () => document.getElementById("part-problem").replaceChildren());
}

localize(document);
connectNotices();
connectSelection();
connectSlider();
connectKeys();
connectImport();
connectCopies();
setInterval(count, 1000);
count();
// A part that is sent again has its instants in UTC again, also where only the text of an element was replaced.
new MutationObserver(() => localize(document)).observe(document.body, {
  childList: true,
  subtree: true,
  characterData: true,
  attributeFilter: ["title"],
});
