// Live updates: new failures are added to the list, pages of a server or a request are loaded again.
"use strict";

const MOST_ROWS = 300;
const MOST_CHARACTERS = 300; // of a message, as in rendering.py
const AGAIN_MS = 3000;
const main = document.getElementById("main");
const status = document.getElementById("live");

function showStatus(text, on) {
  status.textContent = text;
  status.className = on ? "live on" : "live off";
}

// Follow the stream from a position; EventSource reconnects by itself, except after an error status.
function follow(query, onMessage) {
  let position = main.dataset.after;
  function open() {
    query.set("after", position);
    const source = new EventSource("/v1/stream?" + query);
    source.onopen = () => showStatus("live", true);
    source.onerror = () => {
      showStatus("connection lost, trying again", false);
      if (source.readyState === EventSource.CLOSED) setTimeout(open, AGAIN_MS);
    };
    for (const kind of query.getAll("kind")) {
      source.addEventListener(kind, (event) => {
        position = event.lastEventId;
        onMessage(JSON.parse(event.data));
      });
    }
    addEventListener("pagehide", () => source.close(), { once: true });
  }
  open();
}

function badge(element, symbol, more) {
  element.textContent = (symbol || "").replaceAll("_", " ").toLowerCase();
  element.className = "badge " + more + " " + (symbol || "").toLowerCase();
}

function shorten(text) {
  const line = text.split(/\s+/).join(" ").trim();
  return line.length <= MOST_CHARACTERS ? line : line.slice(0, MOST_CHARACTERS - 1) + "…";
}

function fill(row, subject, record, message) {
  const at = record.occurred_at || "";
  row.dataset.id = subject;
  row.querySelector("time").dateTime = at;
  row.querySelector("time").textContent = at.slice(0, 10) + " " + at.slice(11, 19);
  const action = row.querySelector("[data-field=action]");
  action.textContent = record.action || "unknown";
  action.href = "/requests/" + encodeURIComponent(record.request_id || record.request_key);
  const server = row.querySelector("[data-field=server] a");
  if (server && record.instance_uuid) {
    server.textContent = record.display_name || record.instance_uuid;
    server.title = record.instance_uuid;
    server.href = "/servers/" + encodeURIComponent(record.instance_uuid);
  }
  row.querySelector("[data-field=host]").textContent = record.host || "";
  const what = row.querySelector("[data-field=what]");
  what.querySelector("a").textContent = record.exception || "failure";
  what.querySelector("a").href = "/failures/" + encodeURIComponent(subject);
  const reason = what.querySelector(".reason");
  const named = record.exception + ": ";
  const text = record.reason === record.exception ? "" : record.reason || "";
  if (reason) reason.textContent = text.startsWith(named) ? text.slice(named.length) : text;
  const shown = what.querySelector(".message");
  if (shown) shown.textContent = shorten(message || "");
  const blame = row.querySelector("[data-field=blame] .badge");
  if (blame) badge(blame, record.blame, "blame");
  const effect = row.querySelector("[data-field=effect]");
  effect.replaceChildren();
  if (record.effect === "ERROR") {
    const span = document.createElement("span");
    badge(span, record.effect, "");
    effect.append(span);
  } else {
    effect.textContent = (record.effect || "").toLowerCase();
  }
}

function liveList() {
  const table = document.getElementById("failures");
  const body = table.tBodies[0];
  const template = document.getElementById("row");
  const held = document.getElementById("held");
  const waiting = new Map();
  const find = (subject) => body.querySelector(`tr[data-id="${CSS.escape(subject)}"]`);

  function show(message) {
    const known = find(message.subject_id);
    if (message.status !== "CURRENT") {
      if (known) {
        known.classList.add("gone");
        known.title = "Corrected: no longer counted";
      }
      return;
    }
    if (known) {
      known.classList.remove("gone");
      fill(known, message.subject_id, message.record, message.message);
      return;
    }
    const row = template.content.firstElementChild.cloneNode(true);
    fill(row, message.subject_id, message.record, message.message);
    row.classList.add("new");
    const at = message.record.occurred_at || "";
    const before = [...body.rows].find((other) => other.querySelector("time").dateTime <= at);
    body.insertBefore(row, before || null);
    while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
    table.hidden = false;
    document.getElementById("empty")?.remove();
  }

  function release() {
    for (const message of waiting.values()) show(message);
    waiting.clear();
    held.hidden = true;
  }

  // Rows must not move while a user reads further down: new failures wait until the page is scrolled to the top.
  function receive(message) {
    const isNew = message.status === "CURRENT" && !find(message.subject_id);
    if (scrollY < 80 || (!isNew && !waiting.has(message.subject_id))) return show(message);
    waiting.set(message.subject_id, message);
    held.textContent = waiting.size + (waiting.size === 1 ? " new failure" : " new failures");
    held.hidden = false;
  }

  held.addEventListener("click", () => {
    scrollTo({ top: 0 });
    release();
  });
  addEventListener("scroll", () => scrollY < 80 && waiting.size && release(), { passive: true });

  const query = new URLSearchParams([["kind", "failure"]]);
  const asked = new URLSearchParams(location.search);
  for (const name of ["action", "blame", "exception", "host", "project", "instance", "problem", "request"]) {
    for (const value of asked.getAll(name)) if (value.trim()) query.append(name, value.trim());
  }
  follow(query, receive);
}

// Fetch the page again and replace its content; opened details stay open.
function livePage() {
  const query = new URLSearchParams([["kind", "failure"], ["kind", "outcome"]]);
  if (main.dataset.instance) query.set("instance", main.dataset.instance);
  if (main.dataset.request) query.set("request", main.dataset.request);
  let timer = 0;

  async function renew() {
    timer = 0;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      const open = [...main.querySelectorAll("details")].map((each) => each.open);
      main.replaceChildren(...fresh.childNodes);
      const details = [...main.querySelectorAll("details")];
      if (details.length === open.length) details.forEach((each, index) => { each.open = open[index]; });
    } catch {
      // The next message tries again.
    }
  }

  follow(query, () => { timer ||= setTimeout(renew, 300); });
}

if (main.dataset.live === "list") liveList();
if (main.dataset.live === "page") livePage();
