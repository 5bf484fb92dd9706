// How long after a click the list that includes it was on the screen: measured here, from the click to the painted list.

import { byId, say } from "./dom.js";

const KEPT_STATES = 20;
const PATIENCE_MS = 5_000;

const painted = []; // the newest lists on the screen: what they include, and since when
let waiting = null; // the newest click that a list is waited for

/** Return offset by topic and partition of positions such as "learner-events:3:17,activity:3:5". */
function offsetsOf(positions) {
  const parts = positions.split(",").filter(Boolean).map((one) => one.match(/^(.+):(\d+)$/));
  return new Map(parts.map(([, place, offset]) => [place, Number(offset)]));
}

const includes = (state, positions) => [...positions].every(([place, offset]) => (state.get(place) ?? -1) >= offset);

/** Return the moment at which what the document holds now is on the screen. */
function nextPaint() {
  if (document.hidden) return Promise.resolve(performance.now());
  return new Promise((done) => {
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => done(performance.now());
      channel.port2.postMessage(null);
    });
  });
}

function announce(text, state) {
  const line = byId("measured");
  line.dataset.state = state;
  say(line, text);
}

function settle() {
  if (!waiting?.positions) return;
  const first = painted.find((one) => includes(one.state, waiting.positions));
  if (!first) return;
  const ms = Math.max(1, Math.round(first.at - waiting.at));
  clearTimeout(waiting.patience);
  announce(`Updated ${ms} ms after your ${waiting.what}`, "done");
  byId("measured").title = `The log had kept it after ${Math.round(waiting.keptAt - waiting.at)} ms. ${first.change}`;
  waiting = null;
}

/** Begin to measure: call this first thing in the handler of a click. */
export function started(what = "click") {
  clearTimeout(waiting?.patience);
  const click = { at: performance.now(), what, positions: null, keptAt: 0 };
  click.patience = setTimeout(() => {
    if (waiting === click) announce("The list has not followed yet; your click is kept", "late");
  }, PATIENCE_MS);
  waiting = click;
  announce("Updating …", "waiting");
  return click;
}

/** Say where the log keeps what was clicked. */
export function kept(click, positions) {
  click.positions = offsetsOf(positions);
  click.keptAt = performance.now();
  settle();
}

/** Say that a click came to nothing. */
export function failed(click) {
  clearTimeout(click.patience);
  if (waiting !== click) return;
  waiting = null;
  announce("", "idle");
}

/** Say that a list stands in the document; `change` tells what moved in it. */
export async function rendered(stateVersion, change) {
  const state = offsetsOf(stateVersion);
  const at = await nextPaint();
  painted.push({ state, at, change });
  if (painted.length > KEPT_STATES) painted.shift();
  settle();
}

/** Forget everything: another learner is shown. */
export function reset() {
  painted.length = 0;
  if (waiting) failed(waiting);
  else announce("", "idle");
}
