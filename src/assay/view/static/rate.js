// Blind rating: shows a pair, takes an answer by key or button, and shows the next. All text is set as text.
import { send } from "./send.js";

const KEYS = { 1: "left", arrowleft: "left", 2: "right", arrowright: "right", 0: "neither", arrowdown: "neither", s: "skip", u: "undo" };
const SAID = { left: "1 fits better", right: "2 fits better", neither: "neither", skip: "skipped", undo: "taken back, answer again" };

const byId = (id) => document.getElementById(id);
const root = byId("rate");
const at = root.dataset.at;
const rater = byId("rater");
const waiting = `pair of ${at}`;
let pair = "";
let since = 0;
let busy = false;

function made(name, className, text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function token(one) {
  const element = made("i", `${one.shade}${one.looked_at ? " k" : ""}`, one.text);
  if (one.real) element.dataset.r = one.real;
  return element;
}

function excerpt(one) {
  const row = made("li", "x");
  const number = made("span", "m");
  number.append(made("b", "", one.real));
  const text = made("span", "t");
  if (one.cut_before) text.append(made("span", "cut", "…"));
  text.append(...one.tokens.map(token));
  if (one.cut_after) text.append(made("span", "cut", "…"));
  row.append(number, text);
  return row;
}

function show(said) {
  pair = said.pair;
  sessionStorage.setItem(waiting, pair);
  byId("left").textContent = said.left;
  byId("right").textContent = said.right;
  byId("excerpts").replaceChildren(...said.excerpts.map(excerpt));
  byId("progress").textContent = said.progress;
  for (const element of document.querySelectorAll(".full")) element.textContent = said.full;
  byId("ramps").hidden = false;
  since = performance.now();
}

async function ask(what, body, done) {
  if (busy) return;
  busy = true;
  root.setAttribute("aria-busy", "true");
  try {
    const said = await send(`${at}/${what}`, { rater: rater.value, ...body });
    show(said);
    byId("wrong").hidden = true;
    byId("said").textContent = `${done}Explanation 1: ${said.left} Explanation 2: ${said.right} ${said.progress}`;
    if (done) scrollTo({ top: 0, behavior: "instant" });
  } catch (error) {
    byId("wrong").textContent = error.message;
    byId("wrong").hidden = false;
  }
  root.removeAttribute("aria-busy");
  busy = false;
}

function press(answer) {
  if (answer === "undo") ask("undo", {}, `${SAID.undo}. `);
  else if (pair) ask("answer", { pair, answer, seconds: (performance.now() - since) / 1000 }, `Stored: ${SAID[answer]}. `);
}

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select");
  const answer = KEYS[event.key.toLowerCase()];
  if (!answer || typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  event.preventDefault();
  press(answer);
});

for (const button of root.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => press(button.dataset.answer));
}

rater.value = localStorage.getItem("rater") ?? "";
rater.addEventListener("change", () => {
  localStorage.setItem("rater", rater.value);
  ask("next", {}, "");
});

ask("next", { pair: sessionStorage.getItem(waiting) ?? "" }, "");
