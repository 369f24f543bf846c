// A document page by page: a passage and its boxes light up together, arrow keys turn pages, the cited words come into view.

const boxes = new Map([...document.querySelectorAll(".box")].map((box) => [box.dataset.passage, box]));
const passages = new Map([...document.querySelectorAll(".passage-list .chunk")].map((each) => [each.dataset.passage, each]));

function light(event, isOn) {
  const ordinal = event.target.closest?.("[data-passage]")?.dataset.passage;
  if (ordinal === undefined) return;
  boxes.get(ordinal)?.classList.toggle("is-on", isOn);
  passages.get(ordinal)?.classList.toggle("is-on", isOn);
}
for (const name of ["pointerover", "focusin"]) document.addEventListener(name, (event) => light(event, true));
for (const name of ["pointerout", "focusout"]) document.addEventListener(name, (event) => light(event, false));

// A click on a passage, unless it selects words, shows all of it and where it stands.
for (const [ordinal, passage] of passages) {
  passage.addEventListener("click", (event) => {
    if (event.target.closest("a") || !getSelection().isCollapsed) return;
    passage.classList.toggle("is-open");
    intoView(boxes.get(ordinal));
  });
}

function intoView(element, behavior = "smooth") {
  const box = element?.getBoundingClientRect();
  if (box && (box.top < 64 || box.bottom > innerHeight)) element.scrollIntoView({ block: "center", behavior });
}

function focusTarget() {
  const target = location.hash.startsWith("#chunk-") ? document.getElementById(location.hash.slice(1)) : null;
  target?.focus({ preventScroll: true });
}
addEventListener("hashchange", focusTarget);

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (rel) document.querySelector(`a[rel="${rel}"]`)?.click();
});

const picture = document.querySelector(".sheet img");
function drawn() {
  // The address's own target is in the list; what was cited is to be seen on the page.
  const cited = document.querySelector(".mark") ?? document.querySelector(".box.is-cited");
  requestAnimationFrame(() => intoView(cited, "instant"));
  const next = document.querySelector('a[rel="next"]');
  if (next) new Image().src = picture.src.replace(/pages\/(\d+)/, (_, number) => `pages/${Number(number) + 1}`);
}
function broken() {
  picture.hidden = true;
  document.querySelector(".sheet-boxes").remove();
  document.querySelector(".sheet-broken").hidden = false;
}
function shown() {
  if (!picture.naturalWidth) return broken();
  if (document.readyState === "complete") drawn();
  else addEventListener("load", drawn, { once: true });
}
if (picture.complete) shown();
else for (const name of ["load", "error"]) picture.addEventListener(name, shown);
focusTarget();
