// Documents: files are added, the table follows them, a document is deleted, a passage is shown.

import { markQuote } from "./mark_quote.js";
import { toast } from "./shell.js";
import { takeFiles } from "./uploads.js";

const page = document.getElementById("documents-page");
const deleteDialog = document.getElementById("delete-dialog");

// --- uploads ---------------------------------------------------------------------------------------------------

/** Draws the table anew; the first time there was none, so it is fetched as part of the page. */
function refresh() {
  const target = document.getElementById("listing");
  window.htmx.ajax("GET", location.href, { target, swap: target.classList.contains("dropzone") ? "outerHTML" : "outerMorph" });
}

if (page) takeFiles(page, { canUpload: document.getElementById("upload-form") !== null, changed: refresh });

// --- deleting --------------------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const { confirmDelete: title, confirmTitle: question, confirmSays: says } = event.target.dataset;
  if (!title) return;
  event.preventDefault();
  document.getElementById("delete-name").textContent = title;
  if (question) document.getElementById("delete-title").textContent = question;
  if (says) document.getElementById("delete-says").textContent = says;
  deleteDialog.querySelector("form").action = event.target.action;
  deleteDialog.showModal();
});

// --- a document ------------------------------------------------------------------------------------------------

function showTarget() {
  const target = location.hash.startsWith("#chunk-") && document.getElementById(location.hash.slice(1));
  if (target) {
    target.focus({ preventScroll: true });
    markQuote(target, new URLSearchParams(location.search).get("quote"));
  } else if (location.hash.startsWith("#chunk-")) toast("That passage is no longer in this document");
}
addEventListener("hashchange", showTarget);
showTarget();
