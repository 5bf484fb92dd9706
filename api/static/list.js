// The list of recommendations: drawn in place, so that what is new, what moved and what went can be seen.

import { bdi, byId, h, mayMove, say } from "./dom.js";

export const LIMIT = 12;
const FRESH_MS = 4_000;
const SOURCES = {
  collaborative: "Learners like you",
  content: "Similar content",
  popular: "Popular",
  trending: "Trending",
  new: "New",
  interests: "Your interests",
};

const rows = new Map(); // course id -> row

/** Return the reason with the course that caused it as a way to that course. */
function reasonOf(item, act) {
  const [reason] = item.reasons;
  if (!reason) return [];
  const badge = h("span", { class: "badge", data: { source: reason.kind } }, SOURCES[reason.kind] ?? reason.kind);
  const match = reason.course_id && reason.text.match(/^(Because you (?:took|finished|enrolled in) )(.+)$/s);
  const text = match
    ? [match[1], h("button", { class: "link", type: "button", onclick: () => act.open(reason.course_id) }, bdi(match[2]))]
    : [bdi(reason.text)];
  return [badge, h("span", { class: "why" }, text)];
}

function makeRow(courseId, act) {
  const title = h("button", { class: "title", type: "button", onclick: () => act.openListed(courseId) });
  const row = {
    title,
    rank: h("span", { class: "rank", "aria-hidden": "true" }),
    note: h("span", { class: "note" }),
    reason: h("p", { class: "reason" }),
    bar: h("span", { class: "bar-fill" }),
    enrol: h("button", { class: "primary", type: "button", onclick: () => act.enrol(courseId) }, "Enrol"),
    refuse: h("button", { class: "quiet", type: "button", onclick: () => act.refuse(courseId) }, "Not for me"),
  };
  row.score = h("span", { class: "bar", role: "img" }, row.bar);
  row.element = h(
    "li",
    { class: "item", data: { courseId } },
    row.rank,
    h("div", { class: "body" }, h("h3", {}, title, row.note), row.reason, row.score),
    h("div", { class: "actions" }, row.enrol, row.refuse),
  );
  return row;
}

/** Return how full each bar is, 0 to 1: scores are comparable within the list only, and not with those that fill it up. */
function sharesOf(items) {
  const own = items.filter((item) => !item.topped_up).map((item) => item.score);
  const least = Math.min(0, ...own);
  const most = Math.max(...own, least + 1e-9);
  return items.map((item) => (item.topped_up ? null : (item.score - least) / (most - least)));
}

function fill(row, item, place, share, act, canWrite) {
  const name = item.title || item.course_id;
  if (row.title.textContent !== name) row.title.replaceChildren(bdi(name));
  say(row.rank, String(place + 1));
  row.reason.replaceChildren(...reasonOf(item, act));
  row.score.hidden = share === null;
  row.bar.style.setProperty("--share", String(share ?? 0));
  row.score.setAttribute("aria-label", `Score ${item.score.toFixed(3)}`);
  row.score.title = `Score ${item.score.toFixed(3)}`;
  row.enrol.setAttribute("aria-label", `Enrol in ${name}`);
  row.refuse.setAttribute("aria-label", `${name} is not for me`);
  row.enrol.hidden = row.refuse.hidden = !canWrite;
}

/** Mark a row for a short while: "new", or how many places it rose or fell. */
function mark(row, kind, text) {
  row.element.dataset.change = kind;
  row.note.textContent = text;
  clearTimeout(row.fading);
  row.fading = setTimeout(() => {
    delete row.element.dataset.change;
    row.note.textContent = "";
  }, FRESH_MS);
}

/** Slide a row from where it stood to where it stands. */
function slide(element, from) {
  const by = from - element.offsetTop;
  if (!by || !mayMove()) return;
  element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 320, easing: "ease-out" });
}

/** Keep the focus near what it was on, when that leaves the list. */
function rescueFocus(leaving) {
  const focused = leaving.find((row) => row.element.contains(document.activeElement));
  if (!focused) return;
  let next = focused.element.nextElementSibling ?? focused.element.previousElementSibling;
  while (next && leaving.some((row) => row.element === next)) next = next.nextElementSibling;
  (next?.querySelector("button.title") ?? byId("list")).focus({ preventScroll: true });
}

/** Show a list; return what changed in it, in words. `isFirst`: it replaces another learner's or another order. */
export function showList(answer, act, { isFirst, canWrite }) {
  const list = byId("list");
  const before = new Map([...rows].map(([id, row]) => [id, { top: row.element.offsetTop, place: row.place }]));
  const ids = new Set(answer.items.map((item) => item.course_id));
  const leaving = [...rows].filter(([id]) => !ids.has(id));
  rescueFocus(leaving.map(([, row]) => row));
  for (const [id, row] of leaving) {
    row.element.remove();
    rows.delete(id);
  }
  const shares = sharesOf(answer.items);
  answer.items.forEach((item, place) => {
    const row = rows.get(item.course_id) ?? makeRow(item.course_id, act);
    rows.set(item.course_id, row);
    fill(row, item, place, shares[place], act, canWrite);
    row.place = place;
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  list.querySelector(".empty")?.remove();
  if (!answer.items.length) list.append(h("li", { class: "empty" }, "Nothing to recommend yet."));
  return isFirst ? "" : showChanges(before, leaving.length);
}

function showChanges(before, numGone) {
  let [numNew, numMoved] = [0, 0];
  for (const [id, row] of rows) {
    const stood = before.get(id);
    if (!stood) {
      numNew += 1;
      mark(row, "new", "new");
      continue;
    }
    slide(row.element, stood.top);
    const rose = stood.place - row.place;
    if (rose > 0) mark(row, "up", `▲ ${rose}`);
    if (rose !== 0) numMoved += 1;
  }
  if (!numNew && !numMoved && !numGone) return "No course moved.";
  return `${numNew} new, ${numMoved} moved, ${numGone} gone.`;
}

/** Empty the list, before another learner's is shown. */
export function clearList() {
  rows.clear();
  byId("list").replaceChildren(...Array.from({ length: 5 }, () => h("li", { class: "skeleton", "aria-hidden": "true" })));
}

/** Remove what stands for a list that is not there yet. */
export const clearSkeletons = () => byId("list").querySelectorAll(".skeleton").forEach((one) => one.remove());
