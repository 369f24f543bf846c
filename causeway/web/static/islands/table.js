// Tables. One that fits its box keeps its headings in sight while the page scrolls; a wider one scrolls in its box. One that
// is whole on the page is sorted here, by the buttons in its headings; cells may say in data-sort what they sort by.
// Longer lists are sorted by the server, through links.

const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => fit(target)));

function fit(box) {
  box.classList.toggle("is-fitting", box.firstElementChild.scrollWidth <= box.clientWidth && !box.classList.contains("table-tall"));
}

function watch() {
  for (const box of document.querySelectorAll(".table-wrap")) {
    watcher.observe(box);
    fit(box);
  }
}

watch();
document.addEventListener("htmx:after:swap", watch);

document.addEventListener("click", (event) => {
  const heading = event.target.closest("[data-sortable] button.sort")?.closest("th");
  if (heading) sortBy(heading);
});

function sortBy(heading) {
  const table = heading.closest("table");
  const place = heading.cellIndex;
  const isDescending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
  const isNumber = heading.classList.contains("num");
  const key = (row) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim();
  const keyed = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  keyed.sort(([left], [right]) => (isNumber ? Number(left) - Number(right) : left.localeCompare(right, undefined, { numeric: true })));
  if (isDescending) keyed.reverse();
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}
