// Questions to the model: a form is sent, its job is followed, and what came of it is shown below.
import { send } from "./send.js";
import { show } from "./answers.js";

const POLL = 400; // ms

function asked(form) {
  const body = { method: form.dataset.method };
  for (const field of form.elements) {
    if (!field.name) continue;
    body[field.name] = field.type === "checkbox" ? field.checked : field.type === "number" ? field.valueAsNumber : field.value;
  }
  const full = Number(form.closest("[data-live]").dataset.full);
  return full > 0 ? { ...body, full } : body;
}

function progress(place, job, stop) {
  const line = document.createElement("p");
  line.className = "notice";
  const bar = document.createElement("progress");
  bar.max = 1;
  if (job.share !== null) bar.value = job.share;
  bar.setAttribute("aria-label", "progress");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Stop";
  button.addEventListener("click", stop);
  line.append(bar, ` ${job.message || job.state} `, button);
  place.replaceChildren(line);
}

function failed(place, message) {
  const line = document.createElement("p");
  line.className = "notice bad";
  line.textContent = message;
  place.replaceChildren(line);
}

async function follow(id, place) {
  for (;;) {
    const answer = await fetch(`/live/${encodeURIComponent(id)}.json`);
    const job = await answer.json();
    if (job.state === "done") return job.result;
    if (job.state === "failed" || job.state === "cancelled") throw new Error(job.error?.message ?? job.state);
    if (!job.state) throw new Error(job.error ?? "the server knows nothing of this question any more");
    progress(place, job, () => send(`/live/${encodeURIComponent(id)}/cancel`, {}));
    await new Promise((wait) => setTimeout(wait, POLL));
  }
}

async function ask(form) {
  const live = form.closest("[data-live]");
  const place = live.querySelector(".answer");
  const buttons = [...live.querySelectorAll("form button:not([type=button])")];
  for (const button of buttons) button.disabled = true;
  try {
    const { job } = await send(live.dataset.live, asked(form));
    show(form.dataset.method, await follow(job, place), place);
    place.scrollIntoView({ block: "nearest" });
  } catch (error) {
    failed(place, error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

for (const form of document.querySelectorAll("[data-live] form")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
  for (const button of form.querySelectorAll("[data-fill]")) {
    button.addEventListener("click", () => {
      const rules = JSON.parse(document.getElementById(button.dataset.fill).textContent);
      form.elements.text.value = JSON.stringify(rules, null, 1);
      form.elements.kind.value = "rules";
    });
  }
}
