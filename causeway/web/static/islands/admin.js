// Administration: links marked data-sheet open in one dialog, whose forms are sent from there; secrets are copied; a
// provider is tested beside its card. Without this module the same addresses are pages of their own.

import { csrfToken, localTimes, problemOf, toast } from "./shell.js";

const dialog = document.getElementById("sheet");
const body = document.getElementById("sheet-body");
const FRAGMENT = { "HX-Request": "true", "X-CSRF-Token": csrfToken };

// --- the sheet -------------------------------------------------------------------------------------------------

function show(html) {
  body.innerHTML = html;
  localTimes(body);
  if (!dialog.open) dialog.showModal();
  const wrong = body.querySelector("[aria-invalid]");
  const first = body.querySelector("[autofocus]") ?? body.querySelector("input:not([type=hidden]), select, .button");
  (wrong ?? first)?.focus();
}

/** Shows what a response holds, or goes where it leads; false when it holds nothing to show. */
async function take(response) {
  const onward = response.headers.get("hx-redirect");
  if (onward) {
    location.assign(onward);
    return true;
  }
  if (!response.headers.get("content-type")?.startsWith("text/html")) {
    toast(await problemOf(response));
    return false;
  }
  show(await response.text());
  return true;
}

async function open(link) {
  try {
    await take(await fetch(link.href, { headers: FRAGMENT }));
  } catch {
    toast("Causeway cannot be reached");
  }
}

async function send(form, submitter) {
  const fields = new URLSearchParams(new FormData(form, submitter));
  const button = submitter ?? form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    await take(await fetch(form.action, { method: "POST", headers: FRAGMENT, body: fields }));
  } catch {
    toast("Causeway cannot be reached");
  } finally {
    button.disabled = false;
  }
}

if (dialog) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-sheet]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link);
    }
    if (event.target.closest("#sheet a[data-cancel]")) event.preventDefault();
    if (event.target === dialog && !holdsSecret()) dialog.close();
  });
  // A secret is gone with its sheet, so Escape and a click beside it must not take it away unseen.
  dialog.addEventListener("cancel", (event) => holdsSecret() && event.preventDefault());
  dialog.addEventListener("close", () => {
    if (holdsSecret()) location.reload();
    body.replaceChildren();
  });
}

function holdsSecret() {
  return body.querySelector("#secret") !== null;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.closest("#sheet")) {
    event.preventDefault();
    send(form, event.submitter);
  } else if (form.matches("[data-test]")) {
    event.preventDefault();
    test(form);
  }
});

// --- copying ---------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.querySelector("span").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // no clipboard without TLS: ready for Ctrl+C
    button.querySelector("span").textContent = "Press Ctrl+C";
  }
});

// --- the live test ---------------------------------------------------------------------------------------------

async function test(form) {
  const button = form.querySelector("button");
  const result = form.querySelector(".check-result");
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  result.innerHTML = '<p class="quiet">Testing…</p>';
  try {
    const fields = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", headers: FRAGMENT, body: fields });
    result.innerHTML = await response.text();
    localTimes(result);
  } catch {
    result.innerHTML = '<p class="bad">Causeway cannot be reached.</p>';
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}
