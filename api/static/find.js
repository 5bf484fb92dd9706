// Finding a course by its title; a search that is sent is an event of the learner, so the list follows it.

import { get } from "./api.js";
import { bdi, byId, h } from "./dom.js";

const PAUSE_MS = 120;
let newest = 0;

function show(items, text, open) {
  const found = byId("found");
  const rows = items.map((item) =>
    h(
      "li",
      { data: { courseId: item.course_id } },
      h(
        "button",
        { type: "button", onclick: () => (hide(), open(item.course_id)) },
        h("span", { class: "found-title" }, bdi(item.title || item.course_id)),
        h("span", { class: "hint" }, bdi([item.category, item.level, item.language].filter(Boolean).join(" · "))),
      ),
    ),
  );
  found.replaceChildren(rows.length ? h("ul", {}, rows) : h("p", { class: "hint" }, "No title has ", h("b", {}, bdi(text)), "."));
  found.hidden = false;
}

function hide() {
  newest += 1;
  byId("found").hidden = true;
}

/** Make the search field work: `open(courseId)`, `searched(text)`, `fail(error)`. */
export function setUpFind({ open, searched, fail }) {
  const [form, field] = [byId("find"), byId("find-text")];
  let pause;

  async function look() {
    const text = field.value.trim();
    if (!text) return hide();
    const mine = (newest += 1);
    const { items } = await get("/v1/courses", { title: text, limit: 8 });
    if (mine === newest) show(items, text, open);
    return undefined;
  }

  field.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => look().catch(fail), PAUSE_MS);
  });
  field.addEventListener("focus", () => field.value.trim() && look().catch(fail));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    searched(text);
    look().catch(fail);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") moveFocus(event, form);
  });
  document.addEventListener("pointerdown", (event) => form.contains(event.target) || hide());
  form.addEventListener("focusout", (event) => event.relatedTarget && !form.contains(event.relatedTarget) && hide());
}

function moveFocus(event, form) {
  const stops = [byId("find-text"), ...form.querySelectorAll(".found button")];
  const next = stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
  if (next < 0 || next >= stops.length) return;
  event.preventDefault();
  stops[next].focus();
}
