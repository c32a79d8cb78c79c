// Walk over the tokens of an excerpt with the arrow keys; the style sheet shows the numbers of the one in focus.
const tokens = ".t i";

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  const from = event.target.closest?.(tokens);
  if (!step || !from || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = [...from.closest(".t").querySelectorAll("i")];
  const to = row[Math.min(Math.max(row.indexOf(from) + step, 0), row.length - 1)];
  event.preventDefault();
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
});
