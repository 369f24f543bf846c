// The ask page: one question in, passages and a streamed, cited answer out, as a turn of the thread.

import { readEvents } from "./event_stream.js";
import { StreamedMarkdown } from "./markdown.js";
import { PassagePanel, placeOf } from "./passage_panel.js";
import { csrfToken, problemOf, sentence, toast } from "./shell.js";

const page = document.getElementById("ask");
const form = document.getElementById("ask-form");
const box = document.getElementById("question");
const thread = document.getElementById("thread");
const progress = document.getElementById("progress");
const panel = new PassagePanel(page.dataset);
const send = form?.querySelector(".send");

const said = JSON.parse(document.getElementById("conversation")?.textContent ?? "null");

let underWay = null;
let conversation = said?.mine ? said.id : null;

// The stream ended without its last event, as a proxy that gives up ends it.
class BrokenOff extends Error {}

class Turn {
  hits = [];
  citations = new Map();
  done = null;
  #text = "";
  #stream = null;
  #abort = new AbortController();
  #id = crypto.randomUUID?.().replaceAll("-", "") ?? [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

  constructor(question, collection, { literal = [], filters = {} } = {}) {
    this.question = question;
    this.literal = literal;
    this.filters = filters;
    this.collection = collection;
    this.element = clone("turn-template");
    this.#part(".turn-question").textContent = question;
    this.element.addEventListener("click", (event) => this.#click(event));
    this.#part(".why").addEventListener("submit", (event) => this.#explain(event));
  }

  async run() {
    try {
      const response = await post(page.dataset.askUrl, this.#body(), this.#abort.signal);
      if (response.status === 401) return location.reload();
      if (!response.ok) throw new Error(await problemOf(response));
      for await (const { name, payload } of readEvents(response)) this.#take(name, payload);
      if (!this.done) throw new BrokenOff("The answer broke off before its end.");
    } catch (error) {
      const isLost = (error instanceof TypeError || error instanceof BrokenOff) && this.hits.length;
      if (!isLost || !(await this.#resume())) this.#broken(error);
    } finally {
      this.#part(".answer").removeAttribute("aria-busy");
      this.#part(".turn-status").hidden = true;
    }
  }

  stop() {
    this.#abort.abort();
    fetch(page.dataset.stopUrl.replace("ID", this.#id), { method: "DELETE", headers: { "X-CSRF-Token": csrfToken }, keepalive: true }).catch(() => {});
  }

  // A turn that was said before.
  replay(turn) {
    if (turn.withheld) {
      this.#part(".turn-question").textContent = "A question";
      return this.#notice("Not shown", "It rests on documents that you may not see.");
    }
    this.#retrieved(turn.hits, turn.understood);
    this.#part(".turn-status").hidden = true;
    this.#write(turn.answer);
    this.#finish(turn);
    this.#part(".answer").removeAttribute("aria-busy");
  }

  // The connection broke: the answer is written on without us, and stands in the conversation when it is whole.
  async #resume() {
    const until = Date.now() + 120_000;
    this.#status("The connection broke. Waiting for the answer");
    while (Date.now() < until && !this.#abort.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const mine = await read(page.dataset.listUrl);
      if (!mine?.some((one) => one.id === conversation)) continue; // it begins with its first whole answer
      const turn = (await read(page.dataset.readUrl.replace("ID", conversation)))?.turns.findLast((one) => one.number > this.last && one.question === this.question);
      if (!turn) continue;
      this.#stream = null;
      this.#text = "";
      this.#part(".answer").replaceChildren();
      this.#write(turn.answer);
      this.#finish(turn);
      return true;
    }
    return false;
  }

  #status(text) {
    this.#part(".turn-status-text").textContent = text;
    this.#part(".turn-status").hidden = false;
    announce(text);
  }

  #body() {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    return { question: this.question, collection: this.collection, literal: this.literal, filters: this.filters, facets: NARROWING, time_zone: timeZone ?? "", conversation_id: conversation, stream: true, answer_id: this.#id };
  }

  #take(name, payload) {
    if (name === "retrieved") {
      conversation = payload.conversation_id ?? conversation;
      this.#retrieved(payload.hits, payload.question, payload.understood?.chips);
      this.#mended(payload.understood?.mended ?? []);
      this.#narrowing(payload.facets ?? {});
    }
    else if (name === "text") this.#write(payload.text);
    else if (name === "citation") this.#cite(payload);
    else if (name === "done") this.#finish(payload);
    else if (name === "error") throw new Error(sentence(payload.detail));
  }

  #retrieved(hits, understood, filters = []) {
    this.hits = hits;
    const chips = [...filters.map(filterChip), ...Object.entries(this.filters).map(([field, value]) => givenChip(field, value))];
    this.#part(".turn-filters").replaceChildren(...chips);
    this.#part(".turn-filters").hidden = !chips.length;
    this.#part(".turn-understood").hidden = !understood || understood === this.question;
    this.#part(".turn-understood").textContent = `Understood as: ${understood}`;
    const count = `${hits.length} passage${hits.length === 1 ? "" : "s"}`;
    this.#part(".turn-status-text").textContent = hits.length ? `Reading ${count}` : "Nothing found";
    announce(`${count} found`);
    this.#part(".cards").replaceChildren(...hits.map((hit, index) => card(hit, index + 1)));
    this.#part(".passages").hidden = !hits.length;
  }

  // Words that no document has, and what was searched for instead.
  #mended(words) {
    const line = this.#part(".turn-mended");
    line.hidden = !words.length;
    line.textContent = words.map(({ written, read }) => `Searched for \u201c${read}\u201d: no document that you may see has \u201c${written}\u201d.`).join(" ");
  }

  // Values that would leave some of what was found out, with how many documents have each.
  #narrowing(facets) {
    const groups = NARROWING.map((field) => [field, (facets[field] ?? []).filter(({ value }) => this.filters[field] !== value)]);
    const choices = groups.filter(([field, values]) => values.length > 1 && !(field in this.filters)).map(([field, values]) => facetGroup(field, values));
    this.#part(".turn-narrow-groups").replaceChildren(...choices);
    this.#part(".turn-narrow").hidden = !choices.length;
  }

  #write(text) {
    this.#text += text;
    if (!this.#stream) {
      const answer = this.#part(".answer");
      answer.hidden = false;
      answer.setAttribute("aria-busy", "true");
      this.#stream = new StreamedMarkdown(answer, this.hits.length);
      this.#part(".turn-status").hidden = true;
    }
    this.#stream.add(text);
  }

  #cite(cited) {
    this.citations.set(cited.n, cited);
    this.#part(".cards").children[cited.n - 1]?.classList.add("is-cited");
  }

  #finish(done) {
    this.done = done;
    this.#stream?.finish();
    for (const cited of done.citations) this.#cite(cited);
    if (done.refused) this.#refuse(done);
    this.#part(".answer").classList.toggle("is-unsure", done.is_sure === false);
    this.#part(".turn-meta").replaceChildren(...meta(done));
    this.#part(".turn-foot").hidden = false;
    announce(done.answer.replace(/\[\d+\]/g, ""));
  }

  #notice(title, hint) {
    const notice = clone("refusal-template");
    notice.querySelector(".refusal-title").textContent = title;
    notice.querySelector(".refusal-hint").textContent = hint;
    this.#part(".turn-status").hidden = true;
    this.#part(".answer").hidden = false;
    this.#part(".answer").replaceChildren(notice);
  }

  #refuse(done) {
    const refusal = clone("refusal-template");
    const [title, ...rest] = done.answer.split(/(?<=[.!?])\s+/);
    refusal.querySelector(".refusal-title").textContent = title;
    const closest = this.hits.length ? "The passages above came closest." : "";
    refusal.querySelector(".refusal-hint").textContent = [...rest, closest].filter(Boolean).join(" ");
    const answer = this.#part(".answer");
    answer.hidden = false;
    answer.classList.remove("prose");
    answer.replaceChildren(refusal);
  }

  #broken(error) {
    this.#stream?.finish();
    const isStopped = error.name === "AbortError";
    if (isStopped && this.#text) {
      this.#part(".turn-meta").textContent = "Stopped";
      this.#part(".turn-foot").hidden = false;
      for (const vote of this.element.querySelectorAll('[data-act="up"], [data-act="down"], [data-act="why"], .rule')) vote.remove();
      return announce("Stopped");
    }
    const failure = clone("failure-template");
    failure.querySelector(".refusal-title").textContent = isStopped ? "Stopped" : "The answer could not be written";
    failure.querySelector(".refusal-hint").textContent = isStopped
      ? "Nothing had been written yet."
      : error instanceof TypeError ? "Causeway cannot be reached. Check your connection." : error.message;
    if (isStopped) failure.classList.remove("failure");
    const answer = this.#part(".answer");
    answer.hidden = false;
    answer.append(failure);
  }

  #click(event) {
    const cite = event.target.closest("[data-cite]");
    if (cite) return panel.open(this, Number(cite.dataset.cite), cite);
    const literal = event.target.closest("[data-literal]");
    if (literal) return ask(this.question, this.collection, { literal: [...this.literal, literal.dataset.literal], filters: this.filters });
    const without = event.target.closest("[data-without]");
    if (without) return this.#narrowed({ [without.dataset.without]: undefined });
    const narrower = event.target.closest("[data-field]");
    if (narrower) return this.#narrowed({ [narrower.dataset.field]: narrower.dataset.value });
    const act = event.target.closest("[data-act]");
    if (act) this.#act(act.dataset.act, act);
  }

  async #act(name, button) {
    if (name === "again") ask(this.question, this.collection, this);
    else if (name === "copy") await this.#copy(button);
    else if (name === "skip") this.#askWhy(false);
    else if (name === "why") this.#askWhy(true);
    else await this.#press(name);
  }

  async #copy(button) {
    const sources = [...this.citations.values()].map((c) => `[${c.n}] ${c.title}${c.page ? `, page ${c.page}` : ""}`);
    await navigator.clipboard.writeText([(this.done?.answer ?? this.#text).trim(), sources.join("\n")].filter(Boolean).join("\n\n"));
    const icon = [...button.childNodes];
    button.replaceChildren(document.getElementById("check-icon").content.cloneNode(true));
    announce("Copied");
    setTimeout(() => button.replaceChildren(...icon), 1600);
  }

  // A thumb that is pressed already is taken back.
  async #press(vote) {
    if (this.vote?.vote === vote) return this.#withdraw();
    const given = { vote, reason: null, correction: null };
    if (!(await this.#send(given))) return;
    if (vote === "up") return toast("Thank you, noted");
    this.#askWhy(true);
  }

  #askWhy(isOpen) {
    this.#part(".why").hidden = !isOpen;
    this.#part('[data-act="why"]').hidden = isOpen || this.vote?.vote !== "down";
    if (isOpen) this.#part(".why input").focus();
  }

  async #explain(event) {
    event.preventDefault();
    const { reason, correction } = event.target;
    const sent = await this.#send({ vote: "down", reason: reason.value || null, correction: correction.value.trim() || null });
    if (!sent) return;
    this.#askWhy(false);
    toast("Thank you, noted");
  }

  async #send(given) {
    const response = await post(page.dataset.feedbackUrl, { trace_id: this.done.trace_id, ...given });
    if (response.ok) this.voted(given);
    else toast(await problemOf(response));
    return response.ok;
  }

  async #withdraw() {
    const url = page.dataset.withdrawUrl.replace("ID", this.done.trace_id);
    const response = await fetch(url, { method: "DELETE", headers: { "X-CSRF-Token": csrfToken } });
    if (!response.ok) return toast(await problemOf(response));
    this.voted(null);
    toast("Taken back");
  }

  // What this reader said of the answer; null when nothing.
  voted(given) {
    this.vote = given;
    for (const name of ["up", "down"]) this.#part(`[data-act="${name}"]`)?.setAttribute("aria-pressed", String(name === given?.vote));
    const why = this.#part(".why");
    if (given?.vote !== "down") why.hidden = true;
    this.#part('[data-act="why"]').hidden = given?.vote !== "down" || !why.hidden;
    why.reset();
    if (given?.correction) why.correction.value = given.correction;
    const known = why.querySelector(`[name="reason"][value="${CSS.escape(given?.reason ?? "")}"]`);
    if (known) known.checked = true;
  }

  // The same question among fewer documents, or more.
  #narrowed(change) {
    const kept = Object.entries({ ...this.filters, ...change }).filter(([, value]) => value !== undefined);
    return ask(this.question, this.collection, { literal: this.literal, filters: Object.fromEntries(kept) });
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}

async function read(url) {
  const response = await fetch(url).catch(() => null);
  return response?.ok ? response.json() : null;
}

function card(hit, n) {
  const item = clone("card-template");
  item.querySelector(".card-n").textContent = n;
  item.querySelector(".card-title").textContent = hit.title;
  item.querySelector(".card-place").textContent = placeOf(hit) || (hit.page ? `Page ${hit.page}` : "");
  item.querySelector(".card-text").textContent = hit.text.replace(/[#*|`>_-]+/g, " ").replace(/\s+/g, " ").trim().slice(0, 180);
  const button = item.querySelector(".card");
  button.dataset.cite = n;
  button.setAttribute("aria-expanded", "false");
  return item;
}

function meta(done) {
  const leftOut = done.left_out ? `${done.left_out} sentence${done.left_out === 1 ? "" : "s"} without support left out` : "";
  const parts = [done.model, ...(done.usage ? spent(done) : []), leftOut].filter(Boolean);
  const nodes = parts.flatMap((part) => [part, dot()]);
  if (!page.dataset.traceUrl) return nodes.slice(0, -1);
  const trace = document.createElement("a");
  trace.href = page.dataset.traceUrl.replace("ID", done.trace_id);
  trace.textContent = "Trace";
  return [...nodes, trace];
}

function spent({ usage: { input_tokens: read, output_tokens: written }, took_ms, cost_usd }) {
  return [
    read || written ? `${read.toLocaleString()} tokens read, ${written.toLocaleString()} written` : "",
    took(took_ms),
    cost_usd ? `$${cost_usd.toFixed(cost_usd < 0.01 ? 5 : 3)}` : "$0",
  ];
}

function took(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

function dot() {
  const mark = document.createElement("span");
  mark.className = "dot";
  mark.textContent = " · ";
  return mark;
}

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function announce(text) {
  progress.textContent = text;
}

function post(url, body, signal) {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrfToken },
    body: JSON.stringify(body),
    signal,
  });
}

const NARROWING = ["type", "folder", "author", "modified", "collection"];
const FIELDS = { type: "Type", folder: "Folder", author: "By", tags: "Tag", language: "Language", collection: "Collection", created: "Added", modified: "Changed" };

function filterChip({ field, value, words }) {
  const [chip, button] = chipOf(field, value);
  button.dataset.literal = words;
  return chip;
}

function givenChip(field, value) {
  const [chip, button] = chipOf(field, value);
  button.dataset.without = field;
  return chip;
}

function chipOf(field, value) {
  const chip = clone("filter-template");
  const shown = [value].flat().map((each) => saidOf(field, each)).join(" or ");
  chip.querySelector("span").textContent = `${FIELDS[field] ?? field}: ${shown}`;
  const button = chip.querySelector("button");
  button.setAttribute("aria-label", `Without the filter ${FIELDS[field] ?? field}: ${shown}`);
  return [chip, button];
}

function saidOf(field, value) {
  if (field === "type") return value.split(/[/.]/).at(-1);
  return /^(\d{4})-01-01\.\.\1-12-31$/.exec(value)?.[1] ?? value.replace("..", " \u2013 ");
}

function facetGroup(field, values) {
  const group = clone("facet-template");
  group.querySelector(".turn-facet-name").textContent = FIELDS[field] ?? field;
  const buttons = values.slice(0, 6).map(({ value, count }) => {
    const button = clone("facet-value-template");
    button.querySelector("span").textContent = saidOf(field, value);
    button.querySelector(".chip-count").textContent = count.toLocaleString();
    button.dataset.field = field;
    button.dataset.value = value;
    button.setAttribute("aria-label", `Only ${FIELDS[field] ?? field}: ${saidOf(field, value)}, ${count} document${count === 1 ? "" : "s"}`);
    return button;
  });
  group.querySelector(".chips").replaceChildren(...buttons);
  return group;
}

async function ask(question, collection, { literal = [], filters = {} } = {}) {
  underWay?.stop();
  panel.close();
  page.classList.remove("is-fresh");
  const turn = new Turn(question, collection, { literal, filters });
  underWay = turn;
  turn.last = thread.childElementCount;
  thread.append(turn.element);
  box.value = "";
  box.placeholder = "Ask another question…";
  showSend(true);
  announce("Searching your documents");
  turn.element.scrollIntoView({ block: "start", behavior: "smooth" });
  await turn.run();
  if (turn.done && conversation) history.replaceState(null, "", page.dataset.conversationUrl.replace("ID", conversation));
  if (underWay === turn) {
    underWay = null;
    showSend(false);
  }
}

async function showVotes(traceIds) {
  const asked = new URLSearchParams(traceIds.map((id) => ["trace_id", id]));
  const found = await read(`${page.dataset.feedbackUrl}?${asked}`);
  for (const vote of found?.votes ?? []) replayed.get(vote.trace_id)?.voted(vote);
}

function showSend(isStop) {
  send.replaceChildren(document.getElementById(isStop ? "stop-icon" : "send-icon").content.cloneNode(true));
  send.setAttribute("aria-label", isStop ? "Stop" : "Ask");
  send.classList.toggle("is-stop", isStop);
}

const replayed = new Map();
for (const past of said?.turns ?? []) {
  const turn = new Turn(past.question, said.collection);
  thread.append(turn.element);
  turn.replay(past);
  if (turn.done) replayed.set(past.trace_id, turn);
}
if (replayed.size) showVotes([...replayed.keys()].slice(-100));
if (said) box.placeholder = "Ask another question…";

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (question) ask(question, form.collection?.value || null);
});
send?.addEventListener("click", (event) => {
  if (!underWay) return;
  event.preventDefault();
  underWay.stop();
});
box?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => ask(example.dataset.example, null));
}
