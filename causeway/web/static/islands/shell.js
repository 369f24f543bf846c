// What every page does: theme, times in the reader's own zone, `/` to focus, the CSRF header, toasts, dialogs and menus.

const root = document.documentElement;

export const csrfToken = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export function toast(text) {
  const place = document.getElementById("toasts");
  const note = document.createElement("p");
  note.className = "toast";
  note.textContent = text;
  place.replaceChildren(note);
  setTimeout(() => note.remove(), 4000);
}

/** Problem JSON as one sentence; whatever else a failed response holds, a sentence too. */
export async function problemOf(response) {
  try {
    const problem = await response.json();
    if (problem.detail) return sentence(problem.detail);
  } catch {
    // not JSON: a proxy's page, or nothing at all
  }
  return `The server answered ${response.status}. Try again.`;
}

export function sentence(text) {
  const trimmed = text.trim();
  const upper = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  root.dataset.theme = theme;
  const path = document.querySelector(".wordmark")?.getAttribute("href") ?? "/";
  document.cookie = `causeway_theme=${theme}; path=${path}; max-age=31536000; samesite=lax`;
}

const near = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const AXIS = {
  hour: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
  day: new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }),
  whole: full,
};
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7]];

export function localTimes(within = document) {
  for (const element of within.querySelectorAll("time[data-axis]:not([data-is-local])")) {
    element.dataset.isLocal = "";
    element.textContent = AXIS[element.dataset.axis].format(new Date(element.dateTime));
  }
  for (const element of within.querySelectorAll("time[datetime]:not([data-axis])")) {
    const at = new Date(element.dateTime);
    element.title = full.format(at);
    let value = (at - Date.now()) / 1000;
    const step = STEPS.find(([, size]) => {
      if (Math.abs(value) < size) return true;
      value /= size;
      return false;
    });
    element.textContent = step ? near.format(Math.round(value), step[0]) : day.format(at);
  }
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) toggleTheme();
  const closer = event.target.closest("dialog [data-cancel]");
  if (closer) closer.closest("dialog").close();
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest("details[data-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const box = document.querySelector("[data-slash]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["X-CSRF-Token"] = csrfToken;
});
document.addEventListener("htmx:after:swap", () => localTimes());

localTimes();
setInterval(() => localTimes(), 30_000);
