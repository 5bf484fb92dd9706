// The token of this tab: from the address (#token=...), then in sessionStorage; what it allows, as far as a page can say.

const TOKEN = "coursestream.token";
const LEARNER = "coursestream.learner";

/** Take token and learner out of the address, if they are there; return whether they were. */
export function takeFromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (!token) return false;
  setToken(token);
  if (fragment.get("learner")) keepLearner(fragment.get("learner"));
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

export const token = () => sessionStorage.getItem(TOKEN) ?? "";
export const setToken = (value) => sessionStorage.setItem(TOKEN, value.trim());
export const keptLearner = () => sessionStorage.getItem(LEARNER) ?? "";
export const keepLearner = (userId) => sessionStorage.setItem(LEARNER, userId);

/** Return the token's claims, unverified: the API decides, this only chooses what to offer. */
function claims() {
  try {
    const payload = token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

const scopes = () => String(claims().scope ?? "").split(" ");

/** The learner a token stands for; empty if it may read every learner. */
export const ownLearner = () => (!scopes().includes("reader") && scopes().includes("learner") ? String(claims().sub) : "");
export const mayWrite = (userId) => scopes().includes("publisher") || (scopes().includes("learner") && claims().sub === userId);
