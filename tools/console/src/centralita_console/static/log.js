// The live log: rows from a stream of events, the newest first. The server keeps nothing while the log is paused.
"use strict";

const log = document.getElementById("log");
const pause = document.getElementById("pause");
const notice = document.getElementById("stream-notice");
let source = null;
let last = "";

function show(state) {
  for (const one of document.querySelectorAll("[data-state]")) one.hidden = one.dataset.state !== state;
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function row(line) {
  const at = element("time", `${line.at.slice(0, 19).replace("T", " ")} UTC`, { datetime: line.at });
  const name = line.path ? element("a", line.event, { href: line.path }) : element("span", line.event);
  name.className = "event";
  name.title = `${line.subject} (${line.sequence})`;
  const text = element("span", line.text, { class: "text", dir: "auto" });
  const made = element("li", "", { "data-sequence": line.sequence });
  made.append(at, " ", name, " ", text);
  return made;
}

function add(lines) {
  // Only the newest rows are kept, so more of them are not made.
  const max = Number(log.dataset.max);
  log.prepend(...lines.slice(-max).map(row).reverse());
  while (log.children.length > max) log.lastElementChild.remove();
  document.getElementById("log-empty").hidden = log.children.length > 0;
}

function openStream() {
  const address = new URL(log.dataset.stream, location.href);
  if (last) address.searchParams.set("after", last);
  source = new EventSource(address);
  source.addEventListener("message", (event) => {
    last = event.lastEventId;
    notice.hidden = true;
    show("live");
    add(JSON.parse(event.data));
  });
  source.addEventListener("away", (event) => showNotice(JSON.parse(event.data)));
  source.addEventListener("stop", (event) => {
    stop();
    showNotice(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return show("away");
    // The answer was no stream: the session has ended, and the form to log in came instead.
    stop();
    showNotice({ kind: "ended", detail: "" });
  });
}

function closeStream(state) {
  source.close();
  show(state);
}

function stop() {
  closeStream("stopped");
  pause.hidden = true;
}

function toggle() {
  const isPaused = pause.getAttribute("aria-pressed") === "true";
  pause.setAttribute("aria-pressed", String(!isPaused));
  if (isPaused) openStream();
  else closeStream("paused");
}

pause.hidden = false;
pause.addEventListener("click", toggle);
document.addEventListener("keydown", (event) => {
  if (event.key === "s" && !isTyping(event) && !pause.hidden) toggle();
});
openStream();
