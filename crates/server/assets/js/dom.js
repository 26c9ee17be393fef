// Elements without markup text: feed data is only ever inserted as text.

/** Creates an element; attributes that are functions become listeners, `null` and `false` are omitted. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A message in place of content: what happened and what to do. */
export function notice(title, text, kind = "") {
  return h("div", { class: `notice ${kind}` }, h("strong", {}, title), text);
}

/** A table from column descriptions `{title, cell, num}`. */
export function table(columns, rows, { caption, rowClass, label } = {}) {
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.num ? "num" : null }, column.title)));
  const body = rows.map((row) =>
    h("tr", { class: rowClass?.(row) || null },
      columns.map((column) => h("td", { class: [column.num ? "num" : "", column.class ?? ""].join(" ").trim() || null }, column.cell(row) ?? ""))));
  const element = h("table", {}, caption ? h("caption", {}, caption) : null, h("thead", {}, head), h("tbody", {}, body));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label ?? caption ?? "Table" }, element);
}

/** Announces a text to screen readers, politely. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}
