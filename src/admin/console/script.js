// Renews the parts of the page that are marked data-live, every few seconds, with those of the same page as the server makes it
// now; and asks anew as soon as the filter changes. Without this script the page is loaded again by hand and shows the same.
"use strict";

const EVERY_MS = 5000;
const PATIENCE_MS = 10000;
const TYPING_MS = 250;

const lost = document.getElementById("lost");
const filter = document.getElementById("filter");
const asJson = document.getElementById("as-json");
let timer = 0;
let asked = 0;
let isPaused = false;

function query() {
  const asks = new URLSearchParams(new FormData(filter));
  for (const [name, value] of [...asks]) if (value.trim() === "") asks.delete(name);
  return asks.toString();
}

// Words change only when they differ, so that a reader hears of changes alone; what is being selected stays.
function renew(part, fresh) {
  const selection = document.getSelection();
  const isSelected = !selection.isCollapsed && part.contains(selection.anchorNode);
  if (isSelected || part.innerHTML === fresh.innerHTML) return;
  part.replaceChildren(...fresh.childNodes);
  if (fresh.dateTime) part.dateTime = fresh.dateTime;
}

function say(text) {
  if (lost.textContent !== text) lost.textContent = text;
  document.documentElement.classList.toggle("stale", text !== "");
}

async function load() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`${location.pathname}?${query()}`, { signal, cache: "no-store" });
    const text = await answer.text();
    if (mine !== asked) return;
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(text, "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (other) renew(part, other);
      }
      asJson.setAttribute("href", fresh.getElementById(asJson.id).getAttribute("href"));
      say("");
    } else {
      say(answer.status === 400 ? text.trim() : `The gateway answers ${answer.status}; what stands here is old.`);
    }
  } catch {
    if (mine === asked) say("The gateway does not answer; what stands here is old.");
  }
  if (mine === asked) plan();
}

function plan() {
  clearTimeout(timer);
  if (!isPaused && !document.hidden) timer = setTimeout(load, EVERY_MS);
}

function ask() {
  const asks = query();
  history.replaceState(null, "", asks === "" ? location.pathname : `?${asks}`);
  load();
}

const pause = document.createElement("button");
pause.type = "button";
pause.id = "pause";
pause.textContent = "Pause updates";
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? "Go on with updates" : "Pause updates";
  if (isPaused) clearTimeout(timer);
  else load();
});
document.getElementById("again").replaceWith(pause);

filter.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(ask, TYPING_MS);
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : isPaused || load()));
plan();
