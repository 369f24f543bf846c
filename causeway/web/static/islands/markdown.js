// Untrusted Markdown into the page: rendered without raw HTML, pictures or links, then sanitised all the same.

const ALLOWED = {
  ALLOWED_TAGS: [
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "button",
  ],
  ALLOWED_ATTR: ["class", "type", "start", "data-cite", "aria-label", "aria-expanded"],
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

let engine = null;

// `[n]` becomes a button when passage n is there.
function citations(md) {
  md.inline.ruler.before("link", "citation", (state, silent) => {
    const found = /^\[(\d{1,2})\]/.exec(state.src.slice(state.pos, state.pos + 4));
    if (!found || Number(found[1]) < 1 || Number(found[1]) > (state.env.passages ?? 0)) return false;
    if (!silent) {
      state.pending = state.pending.replace(/ $/, "\u00a0"); // a mark stays on its sentence's line
      state.push("citation", "", 0).meta = found[1];
    }
    state.pos += found[0].length;
    return true;
  });
  md.renderer.rules.citation = (tokens, index) => {
    const n = tokens[index].meta;
    return `<button type="button" class="cite" data-cite="${n}" aria-label="Passage ${n}" aria-expanded="false">${n}</button>`;
  };
}

function markdown() {
  engine ??= window.markdownit("commonmark", { html: false }).enable("table").disable(["image", "link", "autolink"]).use(citations);
  return engine;
}

function fragment(html) {
  return window.DOMPurify.sanitize(html, ALLOWED);
}

/** The whole of `text` as a fragment. */
export function render(text, passages = 0) {
  return fragment(markdown().render(text, { passages }));
}

/**
 * An answer under way. Only the last block of Markdown can still change, so finished blocks are rendered once and left
 * alone, and each frame parses and draws the open block only, however long the answer has grown.
 */
export class StreamedMarkdown {
  #place;
  #open;
  #tail = "";
  #frame = 0;
  #passages;

  constructor(place, passages) {
    this.#place = place;
    this.#passages = passages;
    this.#open = document.createElement("div");
    this.#open.className = "open";
    place.append(this.#open);
  }

  add(text) {
    this.#tail += text;
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  finish() {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#open.replaceWith(...this.#open.childNodes);
  }

  #draw() {
    this.#frame = 0;
    const env = { passages: this.#passages };
    const tokens = markdown().parse(this.#tail, env);
    const last = tokens.findLast((token) => token.level === 0 && token.map);
    const from = last ? last.map[0] : 0;
    if (from > 0) {
      const lines = this.#tail.split("\n");
      this.#open.before(render(lines.slice(0, from).join("\n"), this.#passages));
      this.#tail = lines.slice(from).join("\n");
    }
    this.#open.replaceChildren(render(this.#tail, this.#passages));
  }
}
