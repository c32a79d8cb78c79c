// Goes through the doses that stand in the table of all of them, without another page; the address keeps up.
const slider = document.getElementById("dose");
const rows = [...document.querySelectorAll("#doses tbody tr")];
const changed = document.querySelectorAll("#written .changed");

function show(place) {
  const { dose, says } = rows[place].dataset;
  const wrote = rows[place].querySelectorAll(".wrote");
  slider.value = place;
  slider.setAttribute("aria-valuetext", dose);
  document.getElementById("says").textContent = says;
  document.getElementById("named").textContent = `dose ${dose}`;
  changed.forEach((cell, i) => {
    cell.textContent = wrote[i].textContent;
    cell.dataset.name = `dose ${dose}`;
  });
  rows.forEach((row, i) => (i === place ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current")));
}

function keep(place) {
  const here = new URL(location.href);
  here.searchParams.set("method", slider.dataset.method);
  here.searchParams.set("dose", rows[place].dataset.key);
  history.replaceState(null, "", here);
  for (const twin of document.querySelectorAll('link[rel="alternate"], footer a')) {
    const to = new URL(twin.href);
    to.search = here.search;
    twin.href = to;
  }
}

slider.addEventListener("input", () => show(slider.valueAsNumber));
slider.addEventListener("change", () => keep(slider.valueAsNumber)); // browsers refuse an address a pixel
const asked = rows.findIndex((row) => row.dataset.key === new URLSearchParams(location.search).get("dose"));
show(asked < 0 ? rows.findIndex((row) => row.hasAttribute("aria-current")) : asked);
document.getElementById("slide").hidden = false;
