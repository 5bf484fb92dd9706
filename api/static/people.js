// Choosing a learner: one who was active lately, one by id, or a new one with a profile.

import { get } from "./api.js";
import { bdi, byId, h, makeDismissable, openDialog, say } from "./dom.js";

const words = (text) => text.split(",").map((word) => word.trim().slice(0, 100)).filter(Boolean).slice(0, 50);

/** Return a new id that begins with a name: readable, and hardly anybody's yet. */
export function newId(name) {
  const readable = name.trim().normalize("NFC").toLowerCase().replace(/[\s/\\?#%.]+/g, "-");
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(36).padStart(6, "0").slice(-6);
  return `${readable}-${random}`;
}

function profileOf(form) {
  const fields = new FormData(form);
  const profile = {};
  for (const name of ["interests", "goals", "languages"]) {
    const given = words(fields.get(name));
    if (given.length) profile[name] = given;
  }
  if (fields.get("level")) profile.level = fields.get("level");
  return profile;
}

async function showRecent(choose, fail) {
  const { learners } = await get("/v1/learners", { limit: 12 }).catch((error) => (fail(error), { learners: [] }));
  const chips = learners.map(({ user_id: userId }) =>
    h("li", {}, h("button", { class: "chip", type: "button", onclick: () => choose(userId) }, bdi(userId))),
  );
  byId("recent").replaceChildren(...(chips.length ? chips : [h("li", { class: "hint" }, "Nobody yet.")]));
}

/** Make the dialog work: `chosen(userId)`, `described(userId, profile)`, `fail(error)`; return how to open it. */
export function setUpPeople({ chosen, described, fail }) {
  const dialog = byId("people");
  let edited = null; // whose profile is edited; null: a new learner's
  makeDismissable(dialog);
  const choose = (userId) => {
    dialog.close();
    chosen(userId);
  };
  byId("by-id").addEventListener("submit", (event) => {
    event.preventDefault();
    choose(byId("user-id").value);
  });
  byId("profile-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    const userId = edited ?? newId(form.elements.name.value);
    const profile = profileOf(form);
    dialog.close();
    if (edited === null) chosen(userId);
    described(userId, profile);
    form.reset();
  });

  const open = (userId, mustAnswer) => {
    edited = userId;
    const isNew = userId === null;
    byId("pick").hidden = byId("name-field").hidden = !isNew;
    if (!isNew) byId("pick").hidden = true;
    byId("profile-form").elements.name.required = isNew;
    dialog.classList.toggle("narrow", !isNew);
    say(byId("people-heading"), isNew ? "Whose recommendations?" : "What interests you?");
    say(byId("profile-heading"), isNew ? "Create a learner" : "Your profile");
    say(byId("profile-form").querySelector("button"), isNew ? "Create" : "Save");
    dialog.querySelector(".close").hidden = mustAnswer;
    openDialog(dialog, mustAnswer);
    return isNew ? showRecent(choose, fail) : undefined;
  };
  return { pick: (mustAnswer) => open(null, mustAnswer), edit: (userId) => open(userId, false) };
}
