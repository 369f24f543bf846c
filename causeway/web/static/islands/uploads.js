// Files dropped anywhere on a page, or chosen: uploaded two at a time with progress, then followed until they can be searched.

import { csrfToken, sentence } from "./shell.js";

const AT_ONCE = 2;
const FOLLOW_EVERY_MS = 700;
const SAYS = { queued: "Waiting to be read", processing: "Reading", ready: "Ready", failed: "Failed" };

let place; // the element that has the addresses
let refresh = () => {};
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
    if (file.size > Number(place.dataset.maxBytes)) return reject(new Error("The file is larger than this Causeway takes"));
    const form = new FormData();
    form.append("file", file);
    const collection = document.querySelector('#upload-form [name="collection"], #ask-form [name="collection"]')?.value;
    if (collection) form.append("collection", collection);
    const request = new XMLHttpRequest(); // fetch does not report upload progress
    request.open("POST", place.dataset.uploadUrl);
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
    const response = await fetch(place.dataset.documentUrl.replace("ID", id));
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

/**
 * Takes files that are dropped on the page or chosen in #files.
 *
 * @param element Has data-upload-url, data-document-url and data-max-bytes.
 * @param options canUpload: whether files are taken at all; changed: called whenever a document may have changed.
 */
export function takeFiles(element, { canUpload = true, changed = () => {} } = {}) {
  place = element;
  refresh = changed;
  const veil = document.getElementById("drop-veil");
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
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
