// The command palette: Ctrl+K or its button. Pages and actions are known at once; documents, conversations and prompts
// are found by the server as one types, as far as the reader may see them. A combobox whose listbox never takes the focus.

import { toggleTheme } from "./shell.js";

const dialog = document.getElementById("palette");
const input = document.getElementById("palette-input");
const list = document.getElementById("palette-list");
const status = document.getElementById("palette-status");
const commands = JSON.parse(document.getElementById("palette-commands").textContent);

const PAUSE_MS = 110;
const REMEMBERED = 6;
const MEMORY = "causeway.palette"; // keys of pages and actions alone: titles would outlive their reader's rights
const SAYS = { Pages: "Pages", Actions: "Actions" };

let found = { q: null, groups: [] };
let shown = []; // [element, item], in order
let at = 0;
let isMoved = false; // by arrows or the mouse: only then does the choice stay where it is when results come
let asked = null;
let timer = 0;

// --- what matches ----------------------------------------------------------------------------------------------

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(MEMORY)) ?? [];
  } catch {
    return [];
  }
}

function remember(key) {
  try {
    localStorage.setItem(MEMORY, JSON.stringify([key, ...remembered().filter((each) => each !== key)].slice(0, REMEMBERED)));
  } catch {
    // storage is off or full: nothing is remembered
  }
}

const words = (text) => text.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);

/** How well a command answers: the lower the better; Infinity when it does not. */
function rank(command, wanted) {
  const label = words(command.label);
  const others = words(`${command.words ?? ""} ${command.hint ?? ""}`);
  let sum = 0;
  for (const word of wanted) {
    if (label[0]?.startsWith(word)) sum += 0;
    else if (label.some((each) => each.startsWith(word))) sum += 1;
    else if (others.some((each) => each.startsWith(word))) sum += 2;
    else if (word.length > 2 && command.label.toLowerCase().includes(word)) sum += 3;
    else return Infinity;
  }
  return sum;
}

function local(q) {
  const wanted = words(q);
  if (q && !wanted.length) return [];
  const recent = remembered();
  const order = (command) => {
    const place = recent.indexOf(command.key);
    return place < 0 ? recent.length : place;
  };
  const matching = commands
    .map((command, place) => ({ command, place, rank: rank(command, wanted) }))
    .filter((each) => each.rank < Infinity)
    .sort((left, right) => left.rank - right.rank || order(left.command) - order(right.command) || left.place - right.place)
    .map((each) => each.command);
  if (q) return group(matching);
  const lately = matching.filter((command) => recent.includes(command.key));
  return [{ name: "Recent", items: lately }, ...group(matching.filter((command) => !recent.includes(command.key)))];
}

function group(items) {
  return Object.entries(SAYS).map(([name, says]) => ({ name: says, items: items.filter((each) => each.group === name) }));
}

// --- drawing ---------------------------------------------------------------------------------------------------

function draw() {
  const q = input.value.trim();
  const kept = isMoved && shown[at]?.[1];
  const remote = found.q === q || !q || found.q === null ? found.groups : found.groups.map((each) => narrowed(each, q));
  const mine = local(q);
  const groups = (q ? [...mine, ...remote] : [mine[0], ...remote, ...mine.slice(1)]).filter((each) => each?.items.length);
  if (q) groups.push({ name: "Ask", items: [{ key: "", label: q, hint: "Ask the documents", icon: "ask", url: `${dialog.dataset.ask}?q=${encodeURIComponent(q)}` }] });
  shown = [];
  const wanted = words(q);
  list.replaceChildren(...groups.map((each, place) => section(each, place, wanted)));
  const again = kept ? shown.findIndex(([, item]) => item.url === kept.url && item.label === kept.label) : -1;
  choose(Math.max(0, again));
}

/** What the last answer holds of what is typed now, until the next one is here. */
function narrowed(answered, q) {
  const wanted = words(q);
  return { ...answered, items: answered.items.filter((item) => wanted.every((word) => item.label.toLowerCase().includes(word))) };
}

function section(each, place, wanted) {
  const box = document.createElement("div");
  const head = document.createElement("div");
  head.id = `palette-head-${place}`;
  head.className = "palette-head";
  head.textContent = each.name;
  box.setAttribute("role", "group");
  box.setAttribute("aria-labelledby", head.id);
  box.append(head, ...each.items.map((item) => option(item, wanted)));
  return box;
}

function option(item, wanted) {
  const element = document.createElement("a");
  element.className = "palette-item";
  element.id = `palette-option-${shown.length}`;
  element.setAttribute("role", "option");
  element.setAttribute("aria-selected", "false");
  element.tabIndex = -1;
  if (item.url) element.href = item.url;
  element.append(picture(item.icon), label(item.label, wanted));
  if (item.hint) {
    const hint = document.createElement("span");
    hint.className = "palette-hint";
    hint.textContent = item.hint;
    element.append(hint);
  }
  shown.push([element, item]);
  return element;
}

function picture(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${dialog.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

/** The label with the beginnings of words that were typed marked. */
function label(text, wanted) {
  const span = document.createElement("span");
  span.className = "palette-label";
  for (const piece of text.split(/([\p{L}\p{N}]+)/u)) {
    const word = wanted.find((each) => piece.toLowerCase().startsWith(each));
    if (!word) {
      span.append(piece);
      continue;
    }
    const mark = document.createElement("mark");
    mark.textContent = piece.slice(0, word.length);
    span.append(mark, piece.slice(word.length));
  }
  return span;
}

function choose(place) {
  shown[at]?.[0].setAttribute("aria-selected", "false");
  at = place;
  const chosen = shown[at]?.[0];
  if (!chosen) return input.removeAttribute("aria-activedescendant");
  chosen.setAttribute("aria-selected", "true");
  chosen.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", chosen.id);
}

// --- asking ----------------------------------------------------------------------------------------------------

async function ask(q) {
  asked?.abort();
  asked = new AbortController();
  try {
    const response = await fetch(`${dialog.dataset.url}?q=${encodeURIComponent(q)}`, { signal: asked.signal });
    if (!response.ok) throw new Error(String(response.status));
    found = { q, groups: (await response.json()).groups };
  } catch (error) {
    if (error.name === "AbortError") return;
    found = { q, groups: [] }; // pages and actions still work
  }
  if (!dialog.open || q !== input.value.trim()) return;
  draw();
  status.textContent = `${shown.length} found`;
}

function typed() {
  isMoved = false;
  draw();
  clearTimeout(timer);
  timer = setTimeout(() => ask(input.value.trim()), PAUSE_MS);
}

// --- opening, choosing, closing --------------------------------------------------------------------------------

function open() {
  if (dialog.open) return dialog.close();
  document.querySelector("[popover]:popover-open")?.hidePopover();
  input.value = "";
  at = 0;
  isMoved = false;
  dialog.showModal();
  input.focus();
  draw();
  ask("");
}

function take(item, event) {
  if (item.key) remember(item.key);
  const elsewhere = event.ctrlKey || event.metaKey;
  if (item.does === "theme") toggleTheme();
  else if (item.does === "sign-out") document.querySelector("form[action$='sign-out']").requestSubmit();
  else if (elsewhere) window.open(item.url, "_blank", "noopener");
  else location.assign(item.url);
  if (!elsewhere) dialog.close();
}

const MOVES = {
  ArrowDown: () => (at + 1) % shown.length,
  ArrowUp: () => (at - 1 + shown.length) % shown.length,
  PageDown: () => Math.min(at + 8, shown.length - 1),
  PageUp: () => Math.max(at - 8, 0),
};

input.addEventListener("input", typed);
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key in MOVES && shown.length) {
    event.preventDefault();
    isMoved = true;
    choose(MOVES[event.key]());
  } else if (event.key === "Enter" && shown[at]) {
    event.preventDefault();
    take(shown[at][1], event);
  }
});

list.addEventListener("mousemove", (event) => {
  const place = shown.findIndex(([element]) => element === event.target.closest(".palette-item"));
  if (place < 0 || place === at) return;
  isMoved = true;
  choose(place);
});
list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
list.addEventListener("click", (event) => {
  const entry = shown.find(([element]) => element === event.target.closest(".palette-item"));
  if (!entry) return;
  event.preventDefault();
  take(entry[1], event);
});

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  clearTimeout(timer);
  asked?.abort();
});

document.addEventListener("click", (event) => event.target.closest("[data-palette]") && open());
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  event.preventDefault();
  open();
});

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const keys of document.querySelectorAll("[data-palette-keys]")) keys.textContent = "⌘ K";
}
