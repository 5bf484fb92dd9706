// Building the page: text goes in as text, never as markup, so no id or title can become code.

export const byId = (id) => document.getElementById(id);

/** Return a new element. `on...` attributes are handlers, `data` fills the dataset; children are nodes or text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Return text from outside: in its own direction, so that it cannot turn its surroundings around. */
export const bdi = (text) => h("bdi", {}, text);

/** Show a text in an element, unless it stands there already: a live region would read it again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Open a dialog; one that must be answered cannot be dismissed. */
export function openDialog(dialog, mustAnswer = false) {
  dialog.dataset.mustAnswer = String(mustAnswer);
  if (!dialog.open) dialog.showModal();
}

/** Let a dialog be closed by its cross, by Escape and by a click beside it. */
export function makeDismissable(dialog) {
  const mayClose = () => dialog.dataset.mustAnswer !== "true";
  dialog.addEventListener("cancel", (event) => mayClose() || event.preventDefault());
  dialog.addEventListener("click", (event) => {
    const closes = event.target === dialog || event.target.closest?.(".close");
    if (closes && mayClose()) dialog.close();
  });
}

/** Whether things may move. */
export const mayMove = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
