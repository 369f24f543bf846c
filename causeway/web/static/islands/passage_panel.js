// The side panel that shows a passage where it stands: heading path, page, text with the cited sentence marked.

import { render } from "./markdown.js";

const NARROW = matchMedia("(max-width: 60rem)");
const SCORES = { rerank: "Cross-encoder", fused: "Fused", vector: "Meaning", bm25: "Keywords" };

export class PassagePanel {
  #dialog = document.getElementById("passage");
  #urls;
  #turn = null;
  #n = 0;
  #opener = null;

  constructor(urls) {
    this.#urls = urls;
    const on = (selector, act) => this.#dialog.querySelector(selector).addEventListener("click", act);
    on("[data-close]", () => this.close());
    on("[data-previous]", () => this.#step(-1));
    on("[data-next]", () => this.#step(1));
    this.#dialog.addEventListener("close", () => this.#closed());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.close());
    this.#dialog.querySelector("img").addEventListener("error", () => this.#part(".panel-page").toggleAttribute("hidden", true));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#dialog.open && this.close());
  }

  /** Show passage `n` of `turn`, which has `hits`, `citations` and `element`; `opener` gets the focus back. */
  open(turn, n, opener) {
    const hit = turn.hits[n - 1];
    if (!hit) return;
    if (opener) this.#opener = opener;
    this.#mark(false);
    [this.#turn, this.#n] = [turn, n];
    this.#mark(true);
    this.#fill(hit, turn.citations.get(n));
    if (!this.#dialog.open) NARROW.matches ? this.#dialog.showModal() : this.#dialog.show();
    this.#part(".panel-title").focus({ preventScroll: true });
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  #closed() {
    this.#mark(false);
    CSS.highlights?.delete("quote");
    this.#opener?.focus({ preventScroll: true });
    this.#opener = null;
  }

  #step(by) {
    const count = this.#turn.hits.length;
    this.open(this.#turn, ((this.#n - 1 + by + count) % count) + 1, null);
  }

  #mark(isOpen) {
    const marks = this.#turn?.element.querySelectorAll(`[data-cite="${this.#n}"]`) ?? [];
    for (const mark of marks) mark.setAttribute("aria-expanded", String(isOpen));
  }

  #fill(hit, cited) {
    const number = this.#part(".panel-n");
    number.textContent = this.#n;
    number.classList.toggle("is-cited", Boolean(cited));
    this.#part(".panel-title").textContent = hit.title;
    this.#part(".panel-place").textContent = [placeOf(hit), hit.page ? `Page ${hit.page}` : ""].filter(Boolean).join(" · ");
    this.#part(".panel-text").replaceChildren(render(hit.text));
    this.#part("[data-open]").href = `${this.#urls.documentUrl.replace("ID", hit.document_id)}#chunk-${hit.ordinal}`;
    this.#page(hit);
    this.#scores(hit);
    this.#part(".panel-nav").toggleAttribute("hidden", this.#turn.hits.length < 2);
    const body = this.#part(".panel-body");
    body.scrollTop = 0;
    const quoted = cited && markQuote(this.#part(".panel-text"), cited.quote);
    if (quoted) body.scrollTop = Math.max(0, quoted.getBoundingClientRect().top - body.getBoundingClientRect().top - 96);
  }

  #page(hit) {
    const figure = this.#part(".panel-page");
    figure.hidden = !hit.page || hit.media_type !== "application/pdf";
    if (figure.hidden) return;
    const image = figure.querySelector("img");
    image.src = this.#urls.pageUrl.replace("ID", hit.document_id).replace(/1$/, hit.page);
    image.alt = `Page ${hit.page} of ${hit.title}`;
    figure.querySelector("a").href = `${this.#urls.fileUrl.replace("ID", hit.document_id)}#page=${hit.page}`;
  }

  #scores(hit) {
    const rows = Object.entries(SCORES).filter(([name]) => hit.scores[name] != null);
    const terms = rows.flatMap(([name, label]) => {
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = label;
      value.textContent = hit.scores[name].toFixed(3);
      return [term, value];
    });
    this.#part(".panel-scores .facts").replaceChildren(...terms);
    this.#part(".panel-scores").hidden = !rows.length;
  }

  #part(selector) {
    return this.#dialog.querySelector(selector);
  }
}

/** The headings above a passage, without the document's title. */
export function placeOf(hit) {
  const parts = hit.heading.split(" > ").filter(Boolean);
  if (parts[0] === hit.title) parts.shift();
  return parts.join(" › ");
}

/** Highlights `quote` in `element` without touching its DOM; the range, or null where it is not found. */
function markQuote(element, quote) {
  if (!globalThis.Highlight || !quote) return null;
  const letters = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (let at = 0; at < node.data.length; at += 1) if (/[\p{L}\p{N}]/u.test(node.data[at])) letters.push([node, at]);
  }
  // Letters and digits alone are compared: Markdown's marks and line breaks differ between source and page.
  const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const wanted = plain(quote);
  const start = letters.map(([node, at]) => node.data[at].toLowerCase()).join("").indexOf(wanted);
  if (!wanted || start < 0) return null;
  const range = new Range();
  range.setStart(...letters[start]);
  const [node, at] = letters[start + wanted.length - 1];
  range.setEnd(node, at + 1);
  CSS.highlights.set("quote", new Highlight(range));
  return range;
}
