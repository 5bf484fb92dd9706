// The learner page: who is shown, what happened last, and what a click does.

import { Refusal, follow, get, learnerPath, publish } from "./api.js";
import { openCourse } from "./course.js";
import { bdi, byId, h, makeDismissable, openDialog, say } from "./dom.js";
import { setUpFind } from "./find.js";
import { LIMIT, clearList, clearSkeletons, showList } from "./list.js";
import * as measure from "./measure.js";
import { clearOwn, showOwn } from "./own.js";
import { setUpPeople } from "./people.js";
import * as session from "./session.js";

const STRATEGIES = {
  "": "For you", // named by nobody but an experiment
  collaborative: "Learners like you",
  content: "Similar content",
  popular: "Popular",
  trending: "Trending",
};

const page = { userId: "", strategy: "", stream: null, isFirst: true, own: new Map(), newestOwn: 0, stateVersion: null };
const canWrite = () => session.mayWrite(page.userId);

// --- What is wrong ---

function notice(name, text) {
  const known = document.querySelector(`[data-notice="${name}"]`);
  if (!text) return known?.remove();
  if (known) return say(known, text);
  return byId("notices").append(h("p", { class: "notice", data: { notice: name } }, text));
}

function fail(error) {
  if (error instanceof Refusal && error.status === 401) return askForToken(error);
  const isAway = error instanceof TypeError;
  notice("failure", isAway ? "The API does not answer. Nothing was lost; try again." : `That did not work: ${error.message}`);
  setTimeout(() => notice("failure", ""), 8_000);
  return undefined;
}

function askForToken(refusal) {
  page.stream?.stop();
  connection("idle");
  const isExpired = refusal?.message.includes("expired");
  say(byId("sign-in-heading"), isExpired ? "Your token has expired" : refusal ? "Your token was refused" : "A token is needed");
  const why = refusal ? "Paste a new one to go on." : "The API shows a learner’s list only to who may see it.";
  say(byId("sign-in-reason"), why);
  openDialog(byId("sign-in"), true);
}

function connection(state, pauseMs = 0) {
  const words = { idle: "", connecting: "Connecting", live: "Live", lost: "Reconnecting" };
  byId("connection").dataset.state = state;
  say(byId("connection"), words[state]);
  const isLong = state === "lost" && pauseMs > 800;
  if (isLong) notice("lost", "The connection is lost. What you see may be old; it is tried again by itself.");
  else if (state === "live" || state === "idle") notice("lost", "");
}

// --- What is shown ---

function showRecommendations(answer) {
  clearSkeletons();
  const change = showList(answer, act, { isFirst: page.isFirst, canWrite: canWrite() });
  page.isFirst = false;
  void measure.rendered(answer.state_version, change);
  notice("degraded", answer.degraded ? "The learner’s history is being brought back. Until then, these are popular courses." : "");
  const parts = [`Model ${answer.model_version || "(none yet)"}`];
  if (answer.generated_at) parts.push(`made ${new Date(answer.generated_at).toLocaleTimeString("en-GB")}`);
  if (answer.state_version) parts.push(answer.state_version.replaceAll(",", ", "));
  say(byId("made"), parts.join(" · "));
  if (answer.state_version !== page.stateVersion) void refreshOwn();
  page.stateVersion = answer.state_version;
}

async function refreshOwn() {
  const mine = (page.newestOwn += 1);
  try {
    const answer = await get(learnerPath(page.userId));
    if (mine !== page.newestOwn) return;
    page.own = new Map(answer.courses.map((course) => [course.course_id, course.status]));
    showOwn(answer, act, canWrite());
  } catch (error) {
    if (error instanceof Refusal && error.status < 500) fail(error);
  }
}

function followList() {
  page.stream?.stop();
  page.isFirst = true;
  const named = page.strategy ? { strategy: page.strategy } : {};
  page.stream = follow(page.userId, { limit: LIMIT, ...named }, {
    list: showRecommendations,
    state: connection,
    refused: (refusal) => {
      connection("idle");
      clearSkeletons();
      if (refusal.status === 401) askForToken(refusal);
      else notice("refused", `The list cannot be shown: ${refusal.message}`);
    },
  });
}

function showLearner(userId) {
  page.userId = userId;
  page.newestOwn += 1; // what is under way is another learner's
  page.stateVersion = null;
  session.keepLearner(userId);
  byId("list-heading").replaceChildren("For ", bdi(userId));
  const change = byId("change");
  change.replaceChildren(h("span", { class: "avatar", "aria-hidden": "true" }, [...userId][0].toUpperCase()), bdi(userId));
  change.setAttribute("aria-label", `Showing ${userId}. Choose another learner`);
  change.hidden = false;
  change.disabled = Boolean(session.ownLearner());
  byId("profile").hidden = !canWrite();
  notice("read-only", canWrite() ? "" : "This token can only read: nothing can be clicked on this page.");
  notice("refused", "");
  measure.reset();
  clearList();
  clearOwn();
  followList();
}

// --- What a click does ---

async function happened(what, ...events) {
  const click = measure.started(what);
  const userId = page.userId;
  try {
    const position = await publish(userId, ...events);
    if (userId !== page.userId) return;
    measure.kept(click, position);
    void refreshOwn();
  } catch (error) {
    measure.failed(click);
    fail(error);
  }
}

function open(courseId, ...events) {
  if (canWrite() && events.length) void happened("click", ...events);
  openCourse(courseId, (id) => ({ status: page.own.get(id), canWrite: canWrite() }), act).catch(fail);
}

const about = (type, courseId, more = {}) => ({ type, course_id: courseId, ...more });
const viewed = (courseId) => about("viewed", courseId);

const act = {
  fail,
  open: (courseId) => open(courseId, viewed(courseId)),
  openListed: (courseId) => open(courseId, about("clicked", courseId), viewed(courseId)),
  opened: (courseId) => canWrite() && happened("click", viewed(courseId)),
  enrol: (courseId, sheet) => (sheet?.close(), happened("click", about("enrolled", courseId))),
  refuse: (courseId, sheet) => (sheet?.close(), happened("click", about("feedback", courseId, { value: "not_for_me" }))),
  drop: (courseId) => happened("click", about("dropped", courseId)),
  complete: (courseId) => happened("click", about("completed", courseId)),
  progress: (courseId, value) => happened("click", about("progressed", courseId, { value })),
  rate: (courseId, value) => happened("click", about("rated", courseId, { value, scale: "1-5" })),
};

// --- The beginning ---

const people = setUpPeople({
  chosen: showLearner,
  described: (userId, profile) => happened("click", { type: "profile_updated", ...profile }),
  fail,
});

function begin() {
  if (!session.token()) return askForToken(null);
  byId("sign-in").close();
  const userId = session.ownLearner() || session.keptLearner();
  if (userId) return showLearner(userId);
  return people.pick(true);
}

function setUpStrategies() {
  for (const [value, label] of Object.entries(STRATEGIES)) {
    const input = h("input", { type: "radio", name: "strategy", value, onchange: () => ((page.strategy = value), followList()) });
    input.checked = value === page.strategy;
    byId("strategies").append(h("label", {}, input, h("span", {}, label)));
  }
}

setUpStrategies();
setUpFind({
  open: act.open,
  searched: (query) => page.userId && canWrite() && happened("search", { type: "searched", query }),
  fail,
});
makeDismissable(byId("course"));
makeDismissable(byId("sign-in"));
byId("change").addEventListener("click", () => people.pick(false));
byId("profile").addEventListener("click", () => people.edit(page.userId));
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.setToken(byId("token").value);
  byId("token").value = "";
  void begin();
});
addEventListener("hashchange", () => session.takeFromAddress() && begin());
session.takeFromAddress();
void begin();
