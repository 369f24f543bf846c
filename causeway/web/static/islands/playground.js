// The playground: each input on each version and model, a few runs at a time, streamed into a table.

import { readEvents } from "./event_stream.js";
import { csrfToken, problemOf, sentence, toast } from "./shell.js";

const AT_ONCE = 3;
const MOST_RUNS = 60;

const form = document.getElementById("playground");
const list = document.getElementById("inputs");
const source = document.getElementById("source");
const pick = document.getElementById("pick");
const results = document.getElementById("results");
const count = document.getElementById("count");
const halt = document.getElementById("halt");
const declared = JSON.parse(form.dataset.declared);

let offered = [];
let running = null;

async function load(suite) {
  const url = new URL(form.dataset.inputsUrl, location.href);
  if (suite) url.searchParams.set("suite", suite);
  const response = await fetch(url);
  if (!response.ok) {
    toast(await problemOf(response));
    return;
  }
  const answer = await response.json();
  offered = answer.inputs;
  pick.replaceChildren(...offered.map((each, n) => new Option(`${each.source === "trace" ? "trace: " : ""}${each.name}`, n)));
  if (!suite && source.options.length === 1) {
    source.append(...answer.suites.map((name) => new Option(`suite ${name}`, name)));
  }
}

function add(input) {
  const item = document.getElementById("input-template").content.cloneNode(true).firstElementChild;
  item.querySelector(".play-input-name").textContent = input.name;
  item.querySelector(".play-input-source").textContent = input.source === "example" ? "" : input.source;
  const names = Object.keys(input.values);
  const types = new Map(declared.map((each) => [each.name, each.type]));
  for (const name of declared.length ? declared.map((each) => each.name) : names) {
    item.querySelector(".play-values").append(field(name, types.get(name) ?? "text", input.values[name]));
  }
  item.querySelector("details").open = list.children.length === 0;
  list.append(item);
  tell();
}

function field(name, type, value) {
  const label = document.createElement("label");
  label.className = "field";
  const caption = document.createElement("span");
  caption.className = "field-label";
  caption.textContent = name;
  label.append(caption);
  let input;
  if (type === "flag") {
    input = document.createElement("select");
    input.append(new Option("no", "false"), new Option("yes", "true"));
    input.value = String(Boolean(value));
  } else if (type === "number") {
    input = document.createElement("input");
    input.type = "number";
    input.step = "any";
    input.value = value ?? "";
  } else {
    input = document.createElement("textarea");
    input.spellcheck = false;
    const isText = type === "text";
    if (!isText) input.dataset.json = "";
    input.value = isText ? (value ?? "") : JSON.stringify(value ?? null, null, 2);
    input.rows = Math.min(8, Math.max(1, input.value.split("\n").length));
  }
  input.classList.add("input");
  input.dataset.name = name;
  input.dataset.type = type;
  label.append(input);
  return label;
}

function valuesOf(item) {
  const values = {};
  for (const input of item.querySelectorAll("[data-name]")) {
    input.removeAttribute("aria-invalid");
    const { name, type } = input.dataset;
    if (type === "flag") values[name] = input.value === "true";
    else if (type === "number") values[name] = Number(input.value);
    else if (type === "text") values[name] = input.value;
    else {
      try {
        values[name] = JSON.parse(input.value);
      } catch {
        input.setAttribute("aria-invalid", "true");
        item.querySelector("details").open = true;
        input.focus();
        throw new Error(`${name} is no JSON`);
      }
    }
  }
  return values;
}

function columns() {
  const chosen = (name) => [...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);
  const versions = chosen("version").map((version) => ({ label: `@${version}`, body: { which: version } }));
  if (form.elements.draft.checked) versions.push({ label: "draft", body: { text: form.elements.text.value } });
  return versions.flatMap((version) =>
    chosen("model").map((model) => ({ label: version.label, model, body: { ...version.body, model } })),
  );
}

function tell() {
  const runs = columns().length * list.children.length;
  count.textContent = runs ? `${runs} ${runs === 1 ? "call" : "calls"}` : "Choose a version, a model and an input.";
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function table(inputs, heads) {
  const made = element("table", "play-results");
  const top = made.createTHead().insertRow();
  const corner = element("th", "", "Input");
  corner.scope = "col";
  top.append(corner);
  for (const head of heads) {
    const cell = element("th", "", head.label);
    cell.scope = "col";
    cell.append(element("span", "row-sub", head.model));
    top.append(cell);
  }
  const body = made.createTBody();
  const cells = [];
  for (const input of inputs) {
    const row = body.insertRow();
    const title = element("th", "", input.name);
    title.scope = "row";
    row.append(title);
    cells.push(heads.map(() => {
      const cell = row.insertCell();
      cell.append(element("div", "play-output play-waiting", "waiting"), element("div", "play-facts"));
      cell.firstChild.tabIndex = 0;
      return cell;
    }));
  }
  results.replaceChildren(made);
  results.hidden = false;
  return cells;
}

async function run(cell, body, signal) {
  const [output, facts] = cell.children;
  output.textContent = "";
  output.classList.remove("play-waiting");
  try {
    const response = await fetch(form.dataset.tryUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrfToken },
      body: JSON.stringify({ ...body, stream: true }),
      signal,
    });
    if (!response.ok) throw new Error(await problemOf(response));
    for await (const { name, payload } of readEvents(response)) {
      if (name === "text") output.append(payload.text);
      else if (name === "error") throw new Error(sentence(payload.detail));
      else if (name === "done") return show(output, facts, payload);
    }
    throw new Error("The answer broke off.");
  } catch (error) {
    const isHalted = signal.aborted;
    if (!isHalted || !output.textContent) output.textContent = isHalted ? "stopped" : error.message;
    if (!isHalted) output.classList.add("play-failed");
    return null;
  }
}

function seconds(ms) {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function show(output, facts, done) {
  if (!done.output) {
    output.textContent = "(nothing)";
    output.classList.add("play-waiting");
  }
  const cost = done.cost_usd ? `$${done.cost_usd.toFixed(6).replace(/0+$/, "")}` : "$0";
  const parts = {
    took: seconds(done.took_ms),
    cost,
    tokens: `${done.input_tokens} + ${done.output_tokens} tokens`,
  };
  for (const [name, text] of Object.entries(parts)) facts.append(element("span", `play-${name}`, text));
  if (done.ttft_ms !== null) facts.append(element("span", "", `first word ${seconds(done.ttft_ms)}`));
  if (done.stop_reason === "length") facts.append(element("span", "play-failed", "cut at the most tokens"));
  if (done.trace_id) {
    const link = element("a", "", "trace");
    link.href = `${form.dataset.traceUrl}/${done.trace_id}`;
    facts.append(link);
  }
  return done;
}

/** Marks the quickest and the cheapest of a row that has two or more answers. */
function compare(cells, answers) {
  const known = answers.filter(Boolean);
  if (known.length < 2) return;
  for (const [name, key] of [["took", "took_ms"], ["cost", "cost_usd"]]) {
    const best = Math.min(...known.map((each) => each[key]));
    if (known.every((each) => each[key] === best)) continue;
    cells.forEach((cell, n) => {
      if (answers[n]?.[key] === best) cell.querySelector(`.play-${name}`)?.classList.add("play-best");
    });
  }
}

async function runAll() {
  const heads = columns();
  let inputs;
  try {
    inputs = [...list.children].map((item) => ({
      name: item.querySelector(".play-input-name").textContent,
      values: valuesOf(item),
    }));
  } catch (error) {
    toast(error.message);
    return;
  }
  const total = heads.length * inputs.length;
  if (!total) return tell();
  if (total > MOST_RUNS) return toast(`These are ${total} calls; the most at once is ${MOST_RUNS}.`);
  const how = {
    temperature: Number(form.elements.temperature.value),
    max_tokens: Number(form.elements.max_tokens.value),
  };
  const cells = table(inputs, heads);
  const answers = inputs.map(() => heads.map(() => undefined)); // null once a run has failed
  const jobs = inputs.flatMap((_, row) => heads.map((_head, column) => [row, column]));
  let done = 0;
  let spent = 0;
  running = new AbortController();
  const { signal } = running;
  form.elements.run.disabled = true;
  halt.hidden = false;
  const work = async () => {
    while (jobs.length && !signal.aborted) {
      const [row, column] = jobs.shift();
      const body = { ...heads[column].body, ...how, values: inputs[row].values };
      const answer = await run(cells[row][column], body, signal);
      answers[row][column] = answer;
      done += 1;
      spent += answer?.cost_usd ?? 0;
      count.textContent = `${done} of ${total} done, $${spent.toFixed(4)}`;
      if (!answers[row].includes(undefined)) compare(cells[row], answers[row]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  form.elements.run.disabled = false;
  halt.hidden = true;
  running = null;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  runAll();
});
form.addEventListener("change", () => running ?? tell());
halt.addEventListener("click", () => running?.abort());
source.addEventListener("change", () => load(source.value));
document.getElementById("add").addEventListener("click", () => {
  const input = offered[Number(pick.value)];
  if (input) add(input);
});
list.addEventListener("click", (event) => {
  const button = event.target.closest("[data-remove]");
  if (!button) return;
  event.preventDefault();
  button.closest("li").remove();
  tell();
});

await load("");
if (offered.length) add(offered[0]);
