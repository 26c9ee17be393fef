// Start: navigation, views, status, keys.

import { Alerts } from "/js/alerts.js";
import { h } from "/js/dom.js";
import { Explain } from "/js/explain.js";
import { Forecasts } from "/js/forecasts.js";
import { live } from "/js/live.js";
import { Market } from "/js/market.js";
import { Pipeline } from "/js/pipeline.js";
import { Proof } from "/js/proof.js";
import { Readings } from "/js/readings.js";
import { current, link } from "/js/route.js";
import { start as startTheme } from "/js/theme.js";

const views = {
  market: ["Market", Market],
  explain: ["Explain", Explain],
  proof: ["Proof", Proof],
  pipeline: ["Pipeline", Pipeline],
  alerts: ["Alerts", Alerts],
  forecasts: ["Forecasts", Forecasts],
  readings: ["Readings", Readings],
};

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let view = null;

function show() {
  const { view: name, params } = current();
  const [, View] = views[name] ?? views.market;
  view?.destroy();
  view = new View(main, params);
  nav.replaceChildren(h("ul", {}, Object.entries(views).map(([key, [title]]) => h("li", {}, h("a", { href: link(key), "aria-current": key === name ? "page" : null }, title)))));
}

const STATES = { connecting: "Connecting…", live: "Live", "catching-up": "Catching up with the topics", down: "Disconnected; reconnecting" };

function state() {
  const status = document.getElementById("status");
  status.dataset.state = live.state;
  document.getElementById("status-text").textContent = STATES[live.state];
}

startTheme(document.getElementById("theme"));
live.addEventListener("state", state);
window.addEventListener("hashchange", show);
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = Object.keys(views);
  if (event.key >= "1" && event.key <= String(keys.length)) location.hash = link(keys[Number(event.key) - 1]);
  else if (event.key === "/") {
    document.getElementById("search")?.focus();
    event.preventDefault();
  }
});
state();
show();
