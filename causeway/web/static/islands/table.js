// Tables that are whole on the page are sorted here, by the buttons in their headings; cells may say in data-sort what
// they sort by. Longer lists are sorted by the server, through links.

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
