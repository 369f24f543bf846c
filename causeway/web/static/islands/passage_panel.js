// The side panel that shows a passage where it stands: heading path, page, text with the cited sentence marked.

import { render } from "./markdown.js";
import { markQuote } from "./mark_quote.js";

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
    this.#part("[data-open]").href = this.#address(hit, cited);
    this.#page(hit, cited);
    this.#scores(hit);
    this.#part(".panel-nav").toggleAttribute("hidden", this.#turn.hits.length < 2);
    const body = this.#part(".panel-body");
    body.scrollTop = 0;
    const quoted = cited && markQuote(this.#part(".panel-text"), cited.quote);
    if (quoted) body.scrollTop = Math.max(0, quoted.getBoundingClientRect().top - body.getBoundingClientRect().top - 96);
  }

  /** Where a passage is read in its document: on the picture of its page where there is one, as it was when it was cited. */
  #address(hit, cited) {
    const asked = new URLSearchParams({ revision: hit.revision });
    if (hasPages(hit)) asked.set("passage", hit.ordinal);
    if (cited) asked.set("quote", cited.quote);
    const path = hasPages(hit)
      ? this.#urls.pageViewUrl.replace("ID", hit.document_id).replace(/1$/, hit.page)
      : this.#urls.documentUrl.replace("ID", hit.document_id);
    return `${path}?${asked}#chunk-${hit.ordinal}`;
  }

  async #page(hit, cited) {
    const figure = this.#part(".panel-page");
    figure.hidden = !hasPages(hit);
    if (figure.hidden) return;
    this.#draw(figure, hit, hit.page, this.#address(hit, cited));
    if (!cited) return;
    const asked = new URLSearchParams({ quote: cited.quote, ordinal: hit.ordinal, revision: hit.revision });
    for (const number of new Set([hit.page, ...hit.bbox.map((place) => place.page)])) {
      const found = await fetch(`${this.#picture(hit, number)}/words?${asked}`);
      const marks = found.ok ? (await found.json()).bbox : [];
      if (this.#turn?.hits[this.#n - 1] !== hit) return;
      if (!marks.length) continue;
      if (number !== hit.page) this.#draw(figure, hit, number, this.#address(hit, cited));
      figure.querySelector("svg").append(...rectangles(marks, number, "mark"));
      return;
    }
  }

  #picture(hit, number) {
    return this.#urls.pageUrl.replace("ID", hit.document_id).replace(/1$/, number);
  }

  #draw(figure, hit, number, address) {
    const image = figure.querySelector("img");
    image.src = `${this.#picture(hit, number)}?revision=${hit.revision}`;
    image.alt = `Page ${number} of ${hit.title}`;
    figure.querySelector("a").href = address;
    figure.querySelector("svg").replaceChildren(...rectangles(hit.bbox, number, "place"));
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

function hasPages(hit) {
  return hit.page && (hit.media_type === "application/pdf" || hit.media_type.startsWith("image/"));
}

function rectangles(places, page, kind) {
  return places
    .filter((place) => place.page === page)
    .map((place) => {
      const rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const sides = { x: place.x0, y: place.y0, width: place.x1 - place.x0, height: place.y1 - place.y0 };
      for (const [name, share] of Object.entries(sides)) rectangle.setAttribute(name, `${100 * share}%`);
      rectangle.setAttribute("class", kind);
      return rectangle;
    });
}

/** The headings above a passage, without the document's title. */
export function placeOf(hit) {
  const parts = hit.heading.split(" > ").filter(Boolean);
  if (parts[0] === hit.title) parts.shift();
  return parts.join(" › ");
}
