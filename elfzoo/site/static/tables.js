// Sortable tables: a click or a key on the head of a column sorts by it, a second one turns the order round.
"use strict";

(() => {
  const missing = (cell) => cell.dataset.value === "";

  // rows without a value come last in either order
  function compare(a, b, column, sign) {
    const [x, y] = [a.cells[column], b.cells[column]];
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    const [p, q] = [x.dataset.value, y.dataset.value];
    const numeric = column > 0 && !Number.isNaN(Number(p)) && !Number.isNaN(Number(q));
    return sign * (numeric ? Number(p) - Number(q) : p.localeCompare(q, "en", { numeric: true }));
  }

  function sort(table, head, status) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.indexOf(head);
    const now = head.getAttribute("aria-sort");
    const first = head.dataset.better === "high" ? "descending" : "ascending";
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => compare(a, b, column, sign)));
    status.textContent = `Sorted by ${head.textContent.trim()}, ${order}.`;
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const status = document.createElement("p");
    status.className = "hidden";
    status.setAttribute("role", "status");
    table.parentElement.after(status);
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      if (head.title) button.title = head.title;
      head.removeAttribute("title");
      head.append(button);
      button.addEventListener("click", () => sort(table, head, status));
    }
  }
})();
