// Documents: files dropped or chosen are uploaded two at a time with progress, then followed until they can be searched.

import { markQuote } from "./mark_quote.js";
import { csrfToken, sentence, toast } from "./shell.js";

const page = document.getElementById("documents-page");
const veil = document.getElementById("drop-veil");
const deleteDialog = document.getElementById("delete-dialog");

const AT_ONCE = 2;
const FOLLOW_EVERY_MS = 700;
const SAYS = { queued: "Waiting to be read", processing: "Reading", ready: "Ready", failed: "Failed" };

// --- uploads ---------------------------------------------------------------------------------------------------

const waiting = [];
let running = 0;
let total = 0;
let finished = 0;

function add(files) {
  const list = [...files];
  if (!list.length) return;
  const uploads = document.getElementById("uploads");
  uploads.hidden = false;
  for (const file of list) {
    const row = document.getElementById("upload-template").content.firstElementChild.cloneNode(true);
    row.querySelector(".upload-name").textContent = file.name;
    row.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
    say(row, "Waiting");
    uploads.querySelector("ul").append(row);
    waiting.push([file, row]);
  }
  total += list.length;
  count();
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    const [file, row] = waiting.shift();
    upload(file, row)
      .then((uploaded) => {
        refresh();
        return follow(uploaded, row);
      })
      .catch((error) => fail(row, error.message))
      .finally(() => {
        finished += 1;
        count();
        refresh();
      });
  }
}

/** Sends one file; resolves with the API's answer once the file is stored. */
function upload(file, row) {
  const bar = row.querySelector("progress");
  return new Promise((resolve, reject) => {
    if (file.size > Number(page.dataset.maxBytes)) return reject(new Error("The file is larger than this Causeway takes"));
    const form = new FormData();
    form.append("file", file);
    const collection = document.querySelector('#upload-form [name="collection"]')?.value;
    if (collection) form.append("collection", collection);
    const request = new XMLHttpRequest(); // fetch does not report upload progress
    request.open("POST", page.dataset.uploadUrl);
    request.setRequestHeader("X-CSRF-Token", csrfToken);
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (!event.lengthComputable) return;
      bar.value = (100 * event.loaded) / event.total;
      say(row, `${Math.round(bar.value)} %`);
    };
    request.onload = () => (request.status < 300 ? resolve(request.response) : reject(new Error(request.response?.detail ?? `The server answered ${request.status}`)));
    request.onerror = () => reject(new Error("Causeway cannot be reached"));
    request.send(form);
  }).finally(() => {
    running -= 1;
    next();
  });
}

/** Asks after a document until it is ready or failed. */
async function follow({ document_id: id, change }, row) {
  row.querySelector("progress").removeAttribute("value");
  for (;;) {
    const response = await fetch(page.dataset.documentUrl.replace("ID", id));
    if (!response.ok) throw new Error(response.status === 404 ? "It was deleted meanwhile" : `The server answered ${response.status}`);
    const document = await response.json();
    if (document.state === "failed") throw new Error(document.failure ?? "It cannot be read");
    if (document.state === "ready") return done(row, change === "unchanged" ? "Already here, unchanged" : `Ready, ${document.chunks} passage${document.chunks === 1 ? "" : "s"}`);
    say(row, SAYS[document.state]);
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
  }
}

function done(row, text) {
  row.classList.add("is-done");
  row.querySelector("progress").remove();
  say(row, text);
}

function fail(row, reason) {
  row.classList.add("is-failed");
  row.querySelector("progress").remove();
  say(row, sentence(reason));
}

function say(row, text) {
  row.querySelector(".upload-state").textContent = text;
}

function count() {
  const isOver = finished === total;
  document.getElementById("uploads-title").textContent = isOver ? `${total} file${total === 1 ? "" : "s"} done` : `Adding ${total} file${total === 1 ? "" : "s"}`;
}

/** Draws the table anew; the first time there was none, so it is fetched as part of the page. */
function refresh() {
  const target = document.getElementById("listing");
  window.htmx.ajax("GET", location.href, { target, swap: target.classList.contains("dropzone") ? "outerHTML" : "outerMorph" });
}

if (page) {
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const canUpload = document.getElementById("upload-form") !== null;
  document.addEventListener("dragenter", (event) => {
    if (!canUpload || !hasFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    if (canUpload) add(event.dataTransfer.files);
  });
  document.getElementById("files")?.addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = "";
  });
  document.getElementById("uploads-close").addEventListener("click", () => (document.getElementById("uploads").hidden = true));
}

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
