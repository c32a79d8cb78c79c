// Find units among those that stand in this page: in explanations by words, of which the last may go on, and by token.
// Only pages of an export have this script, put into the page and run where it stands.
(() => {
  const MOST = 200;
  const units = JSON.parse(document.getElementById("data").textContent);
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const wordsOf = (text) => fold(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const form = (text) => text.trim().toLowerCase() || text;
  const asked = new URLSearchParams(location.search);
  const inputs = ["q", "token"].map((name) => document.querySelector(`form.search input[name="${name}"]`));

  function element(tag, text, kind) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function fits(words, text) {
    const has = wordsOf(text);
    return words.every((word, i) => has.some((one) => (i === words.length - 1 ? one.startsWith(word) : one === word)));
  }

  function found(said, token) {
    const words = wordsOf(said), name = said.trim().toLowerCase(), wanted = form(token);
    const rows = [];
    for (const unit of units) {
      if (token && !unit.tokens.some((one) => form(one) === wanted)) continue;
      const named = name && unit.unit.toLowerCase().includes(name);
      const claims = said && !named ? unit.claims.filter((one) => words.length && fits(words, one.text)) : unit.claims.slice(0, 1);
      if (said && !named && !claims.length) continue;
      const claim = claims.toSorted((a, b) => (b.r ?? -2) - (a.r ?? -2))[0];
      rows.push({ unit, claim });
    }
    return rows.sort((a, b) => (b.claim?.r ?? -2) - (a.claim?.r ?? -2));
  }

  function row({ unit, claim }) {
    const made = document.createElement("tr");
    const head = element("th", "");
    head.scope = "row";
    const [site, index] = unit.unit.split(":");
    const link = element("a", "", "unit-link");
    link.href = unit.file;
    link.append(element("span", `${site}:`, "site"), element("b", index));
    head.append(link);
    const r = claim?.r == null ? "–" : claim.r.toFixed(2).replace("-", "−");
    const score = element("td", r, "n");
    score.dataset.name = "r";
    made.append(head, element("td", claim?.text ?? "no claim", "sentence"), element("td", claim?.explainer ?? "–"), score);
    const verdict = element("td", "", "late");
    verdict.append(document.getElementById(claim?.verdict)?.content.cloneNode(true) ?? "–");
    made.append(verdict);
    return made;
  }

  function show(said, token) {
    if (!said.trim() && !token) return;
    const rows = found(said, token);
    const more = rows.length > MOST ? `; the ${MOST} with the highest r are shown` : "";
    document.getElementById("found").textContent = `${rows.length} of ${units.length} units${more}.`;
    const table = document.getElementById("units");
    table.tBodies[0].replaceChildren(...rows.slice(0, MOST).map(row));
    table.hidden = !rows.length;
  }

  inputs.forEach((input) => {
    if (!input) return;
    input.value = asked.get(input.name) ?? "";
    input.addEventListener("input", () => show(inputs[0].value, inputs[1].value));
  });
  show(asked.get("q") ?? "", asked.get("token") ?? "");
})();
