// What came of a question, as elements. Text is only ever set as text.

export function make(tag, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const percent = (value) => `${(100 * value).toPrecision(2)} %`;

function table(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((text, i) => make("th", { scope: "col", text, class: i ? "n" : "" })));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, i) => {
      const element = make(i ? "td" : "th", i ? { class: "n", "data-name": heads[i] } : { scope: "row" });
      element.append(cell);
      return element;
    })),
  );
  return make("table", { class: "rows" }, make("caption", { text: caption }), make("thead", {}, head), make("tbody", {}, ...body));
}

function heat(tokens) {
  const items = tokens.map((token, i) => {
    const element = make("i", { text: token.text, class: token.shades });
    if (token.real) element.dataset.r = token.real;
    if (token.predicted) element.dataset.p = token.predicted;
    if (!i) element.tabIndex = 0;
    return element;
  });
  return make("span", { class: "t" }, ...items);
}

function activations(result) {
  const rows = result.rows.map((row) => {
    const parts = [heat(row.tokens)];
    const said = [row.unscored, row.note].filter(Boolean);
    if (row.explainer && row.r !== null) {
      said.unshift(`r ${number(row.r)} on this one text; shuffled ${number(row.r_null?.low)} to ${number(row.r_null?.high)}`);
    } else if (row.explainer && row.r_unscored && !row.unscored) said.unshift(`r unscored: ${row.r_unscored}`);
    if (said.length) parts.push(make("p", { class: "small", text: said.join(" · ") }));
    return make("li", { class: "x" }, make("span", { class: "m", text: row.explainer || "real" }), make("span", {}, ...parts));
  });
  return [make("ul", { class: "excerpts" }, ...rows), make("p", { class: "small", text: `Computed in ${result.dtype} (${result.why}).` })];
}

function steer(result) {
  const { nats, null: chance, noise } = result.divergence;
  const beyond = nats > chance.max ? "more than every one" : "no more than the largest";
  const words = (rows) => rows.map((row) => [make("span", { class: "token", text: row.text }), percent(row.before), percent(row.after), `${row.change > 0 ? "+" : "−"}${percent(Math.abs(row.change))}`]);
  const heads = ["token", "before", "after", "change"];
  const goes = Object.entries(result.continuations).map(([name, one]) => [make("dt", { text: name === "random" ? "a random direction" : name }), make("dd", { class: "t", text: one.text || "(nothing)" })]);
  return [
    make("p", { text: `The next token’s distribution moves by ${nats.toPrecision(2)} nats (Jensen–Shannon), ${beyond} of ${result.directions} random directions of the same norm: mean ${chance.mean.toPrecision(2)}, largest ${chance.max.toPrecision(2)}. Numerical noise: ${noise.toPrecision(1)}.` }),
    make("div", { class: "two" }, table("More likely", heads, words(result.rise)), table("Less likely", heads, words(result.fall))),
    make("p", { class: "small", text: `Under the random directions no token rose by more than ${percent(result.change_null.rise.max)} or fell by more than ${percent(Math.abs(result.change_null.fall.max))}.` }),
    make("h3", { text: "It goes on" }),
    make("dl", { class: "goes" }, ...goes.flat()),
  ];
}

function tested(result) {
  const rows = result.units.map((entry) => {
    const nulls = Object.values(entry.nulls).filter((value) => value !== null);
    return [entry.explainer, `${number(entry.r)} [${number(entry.r_lo)} ${number(entry.r_hi)}]`, nulls.length ? number(Math.max(...nulls)) : "–", number(entry.behaviour), entry.verdict ?? "–"];
  });
  const where = make("p", {}, make("a", { href: result.link, text: "Look at it in its run" }));
  return [table("On test documents", ["explainer", "r", "best null", "behaviour", "verdict"], rows), where];
}

function neighbours(result) {
  const sides = [["upstream", "Drive it"], ["downstream", "Driven by it"]].map(([side, title]) => {
    const own = result.rows.filter((row) => row.side === side);
    const rows = own.map((row) => {
      const href = `/run/${encodeURIComponent(row.of_run)}/unit/${encodeURIComponent(row.other)}`;
      const name = make("span", {}, make("a", { class: "unit-link", href, text: row.other }), make("span", { class: "sentence small", text: ` ${row.text ?? "not explained yet"}` }));
      return [name, number(row.strength, 3), number(row.best_null, 3), number(row.net, 3)];
    });
    return make("div", {}, rows.length ? table(title, ["unit", "strength", "null", "net"], rows) : make("p", { class: "quiet", text: `${title}: none` }));
  });
  return [make("div", { class: "two" }, ...sides)];
}

const VIEWS = { activations, steer, score: tested, explain: tested, neighbours };

export function show(method, result, place) {
  place.replaceChildren(...VIEWS[method](result));
}
