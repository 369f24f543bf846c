// The analyst: examples fill the box and ask, Enter asks, tables are sorted by their headings.

const form = document.getElementById("analyst-form");
const box = document.getElementById("question");

function ask() {
  if (box.value.trim()) form.requestSubmit();
}

document.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]");
  if (example) {
    box.value = example.dataset.example;
    ask();
  }
  const heading = event.target.closest(".sort")?.closest("th");
  if (heading) sortBy(heading);
});

box?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
});

document.addEventListener("htmx:after:swap", settle);
document.addEventListener("htmx:afterSwap", settle);

function settle() {
  const answered = document.querySelector("#answers .finding");
  if (!answered) return;
  document.getElementById("analyst-examples")?.remove();
}

form?.addEventListener("htmx:after:request", clear);
form?.addEventListener("htmx:afterRequest", clear);

function clear(event) {
  if (event.target === form) box.value = "";
}

function sortBy(heading) {
  const table = heading.closest("table");
  const place = [...heading.parentElement.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const isNumber = heading.classList.contains("num");
  const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[place].dataset.sort, row]);
  keyed.sort(([left], [right]) => (isNumber ? Number(left) - Number(right) : left.localeCompare(right)));
  if (descending) keyed.reverse();
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}
