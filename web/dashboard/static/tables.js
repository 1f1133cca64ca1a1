// Sorts the rows that a table shows by a column: a click on its title, or Enter there; again turns them round.
// What is drawn anew meanwhile is sorted as before.
(() => {
  const chosen = new Map(); // by the label of a table: its column, and 1 or -1
  const titles = "table.rows th[tabindex]";
  const collator = new Intl.Collator(undefined, { numeric: true });

  function key(row, column) {
    const cell = row.cells[column];
    const exact = cell.querySelector("[data-sort]"), time = cell.querySelector("time");
    return exact ? exact.dataset.sort : time ? time.dateTime : cell.textContent.trim();
  }

  function compare(a, b, way) {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is empty comes last, either way
    const difference = Number(a) - Number(b);
    return way * (Number.isNaN(difference) ? collator.compare(a, b) : difference);
  }

  function sort(table) {
    const wanted = chosen.get(table.getAttribute("aria-label")), body = table.tBodies[0];
    if (!wanted || !body || body.dataset.sorted === wanted.join()) return;
    const [column, way] = wanted;
    if (column >= table.tHead.rows[0].cells.length) return;
    body.dataset.sorted = wanted.join();
    [...table.tHead.rows[0].cells].forEach((title, at) =>
      at === column ? title.setAttribute("aria-sort", way > 0 ? "ascending" : "descending")
                    : title.removeAttribute("aria-sort"));
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort((a, b) => compare(a[0], b[0], way)).forEach(([, row]) => body.append(row));
  }

  function choose(title) {
    const table = title.closest("table"), label = table.getAttribute("aria-label");
    const [column, way] = chosen.get(label) ?? [-1, 1];
    chosen.set(label, [title.cellIndex, column === title.cellIndex ? -way : 1]);
    sort(table);
  }

  document.addEventListener("click", (event) => {
    const title = event.target.closest(titles);
    if (!title) return;
    choose(title);
    title.blur(); // a part that has the focus is not kept up to date
  });
  document.addEventListener("keydown", (event) => {
    const title = event.target.closest(titles);
    if (!title || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    choose(title);
  });
  new MutationObserver(() => chosen.size && document.querySelectorAll("table.rows").forEach(sort))
    .observe(document, { childList: true, subtree: true });
})();
