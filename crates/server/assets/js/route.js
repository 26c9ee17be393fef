// Deep links: `#/market?symbol=SPY&interval=1m`.

/** The view and its parameters. */
export function current() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "market", params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The link of a view. */
export function link(view, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value));
  return `#/${view}${query.size ? `?${query}` : ""}`;
}

/** Goes to a view. */
export function go(view, params) {
  location.hash = link(view, params);
}

/** Changes the address without another history entry. */
export function replace(view, params) {
  history.replaceState(null, "", link(view, params));
}
