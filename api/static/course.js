// One course in a sheet: what its card knows, what it builds on, and what is similar.

import { coursePath, get } from "./api.js";
import { bdi, byId, h, openDialog } from "./dom.js";

const MAX_PREREQUISITES = 8;
const trail = []; // the courses opened before this one

function facts(course) {
  const hours = course.duration_minutes ? `${Math.round(course.duration_minutes / 6) / 10} hours` : "";
  const price = course.price === 0 ? "free" : course.price ? `price ${course.price}` : "";
  const taken = course.num_subscribers ? `${course.num_subscribers.toLocaleString("en")} learners` : "";
  const texts = [course.category, course.level, course.language, hours, price, taken, course.retired ? "no longer offered" : ""];
  return h("ul", { class: "facts" }, texts.filter(Boolean).map((text) => h("li", {}, bdi(text))));
}

const isWebAddress = (url) => /^https?:\/\//i.test(url);

function links(heading, courses, show) {
  if (!courses.length) return [];
  const items = courses.map((course) => {
    const name = course.title || course.course_id;
    const open = h("button", { class: "link", type: "button", onclick: () => show(course.course_id) }, bdi(name));
    return h("li", { data: { courseId: course.course_id } }, open);
  });
  return [h("h3", {}, heading), h("ul", { class: "links" }, items)];
}

async function known(courseId) {
  return get(coursePath(courseId)).catch(() => ({ course_id: courseId, title: courseId, prerequisites: [] }));
}

function draw(sheet, course, similar, needed, state, act, show) {
  const back = h("button", { class: "quiet", type: "button", onclick: () => show(trail.pop(), true) }, "← Back");
  back.hidden = !trail.length;
  const enrol = h("button", { class: "primary", type: "button", onclick: () => act.enrol(course.course_id, sheet) }, "Enrol");
  const refuse = h("button", { class: "quiet", type: "button", onclick: () => act.refuse(course.course_id, sheet) }, "Not for me");
  enrol.hidden = refuse.hidden = !state.canWrite || state.status === "enrolled" || state.status === "completed";
  const about = { enrolled: "You are enrolled.", completed: "You have completed this course.", dropped: "You have left this course." };
  sheet.replaceChildren(
    h("div", { class: "sheet-head" }, back, h("button", { class: "quiet close", type: "button", "aria-label": "Close" }, "✕")),
    h("h2", { id: "course-title", tabindex: "-1" }, bdi(course.title || course.course_id)),
    course.instructor ? h("p", { class: "hint" }, "with ", bdi(course.instructor)) : "",
    facts(course),
    h("p", { class: "hint" }, about[state.status] ?? ""),
    h("div", { class: "actions" }, enrol, refuse),
    course.description ? h("p", { class: "description", dir: "auto" }, course.description) : "",
    isWebAddress(course.url ?? "")
      ? h("p", {}, h("a", { href: course.url, target: "_blank", rel: "noopener noreferrer" }, "To the course’s page"))
      : "",
    ...links("Builds on", needed, show),
    ...links("Similar courses", similar, show),
  );
}

/** Open a course's sheet. `stateOf(courseId)` tells the learner's status in it, and whether he may act. */
export async function openCourse(courseId, stateOf, act) {
  const sheet = byId("course");
  if (!sheet.open) trail.length = 0;
  let shown = courseId;
  const show = (next, isBack = false) => {
    if (!isBack) trail.push(shown);
    if (!isBack) act.opened(next);
    return load(next);
  };
  const load = async (id) => {
    shown = id;
    sheet.dataset.courseId = id;
    const [course, similar] = await Promise.all([
      get(coursePath(id)),
      get(coursePath(id, "/similar"), { limit: 6 }).then((answer) => answer.items).catch(() => []),
    ]);
    const needed = await Promise.all((course.prerequisites ?? []).slice(0, MAX_PREREQUISITES).map(known));
    if (sheet.dataset.courseId !== id) return; // another one was opened meanwhile
    draw(sheet, course, similar, needed, stateOf(id), act, (next, isBack) => show(next, isBack).catch(act.fail));
    openDialog(sheet);
    byId("course-title").focus();
  };
  await load(courseId);
}
