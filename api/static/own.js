// The courses a learner has taken: progress, completion, rating, leaving.

import { bdi, byId, h, say } from "./dom.js";

const rows = new Map(); // course id -> row

function stars(courseId, act) {
  const buttons = [1, 2, 3, 4, 5].map((value) =>
    h("button", { class: "star", type: "button", "aria-label": `Rate ${value} of 5`, onclick: () => act.rate(courseId, value) }, "☆"),
  );
  return { element: h("span", { class: "stars", role: "group", "aria-label": "Rating" }, buttons), buttons };
}

function makeRow(courseId, act) {
  const slider = h("input", { type: "range", min: "0", max: "100", step: "5" });
  const row = {
    title: h("button", { class: "title", type: "button", onclick: () => act.open(courseId) }),
    status: h("span", { class: "status" }),
    percent: h("output", {}),
    stars: stars(courseId, act),
    complete: h("button", { class: "quiet", type: "button", onclick: () => act.complete(courseId) }, "Completed"),
    drop: h("button", { class: "quiet", type: "button", onclick: () => act.drop(courseId) }, "Leave"),
    slider,
  };
  slider.addEventListener("input", () => say(row.percent, `${slider.value} %`));
  slider.addEventListener("change", () => act.progress(courseId, Number(slider.value) / 100));
  row.progress = h("div", { class: "progress" }, slider, row.percent);
  row.element = h(
    "li",
    { class: "course", data: { courseId } },
    h("div", { class: "course-head" }, row.title, row.status),
    row.progress,
    h("div", { class: "course-foot" }, row.stars.element, h("span", { class: "actions" }, row.complete, row.drop)),
  );
  return row;
}

/** Return a rating as one of five stars, whatever its scale. */
function starsOf(course) {
  if (course.rating === null) return 0;
  const [, low, high] = (course.rating_scale ?? "1-5").match(/^(-?[\d.]+)-(-?[\d.]+)$/)?.map(Number) ?? [0, 1, 5];
  return Math.round(1 + (4 * (course.rating - low)) / (high - low));
}

function fill(row, course, canWrite) {
  const name = course.title || course.course_id;
  if (row.title.textContent !== name) row.title.replaceChildren(bdi(name));
  const isDone = course.status === "completed";
  row.element.dataset.status = course.status;
  say(row.status, isDone ? "Completed" : "Enrolled");
  const percent = String(Math.round(100 * (isDone ? 1 : (course.progress ?? 0))));
  if (document.activeElement !== row.slider || row.slider.disabled) row.slider.value = percent;
  say(row.percent, `${row.slider.value} %`);
  row.slider.disabled = !canWrite || isDone;
  row.slider.setAttribute("aria-label", `Progress in ${name}`);
  row.progress.hidden = isDone;
  row.complete.hidden = !canWrite || isDone;
  row.drop.hidden = !canWrite;
  row.drop.setAttribute("aria-label", `Leave ${name}`);
  row.complete.setAttribute("aria-label", `I have completed ${name}`);
  const rated = starsOf(course);
  row.stars.buttons.forEach((button, place) => {
    button.disabled = !canWrite;
    button.setAttribute("aria-pressed", String(place + 1 === rated));
    button.classList.toggle("lit", place < rated);
    say(button, place < rated ? "★" : "☆");
  });
}

function showLeft(courses, act, canWrite) {
  const left = byId("left");
  left.hidden = !courses.length;
  say(left.querySelector("summary"), `Left (${courses.length})`);
  const items = courses.map((course) =>
    h(
      "li",
      { data: { courseId: course.course_id } },
      h("button", { class: "link", type: "button", onclick: () => act.open(course.course_id) }, bdi(course.title || course.course_id)),
      canWrite ? h("button", { class: "quiet", type: "button", onclick: () => act.enrol(course.course_id) }, "Enrol again") : null,
    ),
  );
  left.querySelector("ul").replaceChildren(...items);
}

/** Show a learner's courses. */
export function showOwn(answer, act, canWrite) {
  const list = byId("own");
  const courses = answer.courses.filter((course) => course.status !== "dropped");
  const ids = new Set(courses.map((course) => course.course_id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    if (row.element.contains(document.activeElement)) byId("own-heading").focus({ preventScroll: true });
    row.element.remove();
    rows.delete(id);
  }
  list.querySelectorAll(".empty").forEach((one) => one.remove());
  courses.forEach((course, place) => {
    const row = rows.get(course.course_id) ?? makeRow(course.course_id, act);
    rows.set(course.course_id, row);
    fill(row, course, canWrite);
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  if (!courses.length) {
    const text = answer.degraded ? "Your courses are being brought back …" : "None yet. Enrol in one, and the list changes at once.";
    list.append(h("li", { class: "empty" }, text));
  }
  showLeft(answer.courses.filter((course) => course.status === "dropped"), act, canWrite);
}

/** Empty the list, before another learner's courses are shown. */
export function clearOwn() {
  rows.clear();
  byId("own").replaceChildren();
  byId("left").hidden = true;
}
