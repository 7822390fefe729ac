"use strict";
// Columns sort when their heading is clicked; a table that names a column in data-choose is filtered by what stands there.

const content = (cell) => cell.dataset.value ?? cell.textContent.trim();

function compare(first, second) {
  if (first === "" || second === "") return (first === "") - (second === "");
  const difference = Number(first) - Number(second);
  return Number.isNaN(difference) ? first.localeCompare(second) : difference;
}

function sort(head, body, column) {
  const sign = head[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const cell of head) cell.removeAttribute("aria-sort");
  head[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const keyed = Array.from(body.rows, (row) => [content(row.cells[column]), row]);
  keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : sign * compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
}

function choice(body, column) {
  const counts = new Map();
  for (const row of body.rows) {
    const value = content(row.cells[column]);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const field = document.createElement("fieldset");
  for (const [value, count] of counts) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.onchange = () => {
      for (const row of body.rows) if (content(row.cells[column]) === value) row.hidden = !box.checked;
    };
    label.append(box, ` ${value} (${count})`);
    field.append(label);
  }
  return field;
}

for (const table of document.querySelectorAll("table")) {
  const head = Array.from(table.tHead?.rows[0].cells ?? []);
  const body = table.tBodies[0];
  head.forEach((cell, column) => {
    const button = document.createElement("button");
    button.textContent = cell.textContent;
    button.onclick = () => sort(head, body, column);
    cell.replaceChildren(button);
  });
  if (table.dataset.choose) table.parentElement.before(choice(body, Number(table.dataset.choose)));
}
