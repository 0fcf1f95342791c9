// The states on top, the filters, and the table.

const at = (id) => document.getElementById(id);

/** Makes an element. Its contents are text or elements, and never markup. */
function element(name, attributes = {}, ...contents) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...contents);
  return made;
}

function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function show(place, text) {
  setText(place, text);
  place.hidden = text === "";
}

const STUCK = ["abandoned", "failed", "not-retained"];

function countsOf(stats) {
  const of = (states) => {
    const found = states.map((state) => stats.states[state]);
    const ages = found.map((one) => one.oldest_changed_seconds_ago).filter((age) => age !== null);
    return {
      count: found.reduce((sum, one) => sum + one.count, 0),
      oldest: ages.length > 0 ? Math.max(...ages) : null,
    };
  };
  const all = Object.keys(stats.states).filter((state) => state !== "in-doubt");
  return (state) => of(state === "stuck" ? STUCK : state === "" ? all : [state]);
}

/** The buttons on top: each shows how many records there are, and filters the table. */
function makeStates(choose) {
  for (const [state, name] of Object.entries(STATES)) {
    const button = element(
      "button",
      { type: "button", class: "state", "data-state": state, "aria-pressed": "false" },
      element("span", { class: "count" }, "–"),
      element("span", { class: "name" }, name),
      element("span", { class: "oldest" }, ""),
    );
    button.addEventListener("click", () => choose(state));
    at("states").append(button);
  }
}

function pressState(chosen) {
  for (const button of at("states").children) {
    button.setAttribute("aria-pressed", String(button.dataset.state === chosen));
  }
}

function showStats(stats) {
  const counts = countsOf(stats);
  for (const button of at("states").children) {
    const { count: number, oldest } = counts(button.dataset.state);
    button.classList.toggle("none", number === 0);
    setText(button.querySelector(".count"), `${number.toLocaleString("en")}${stats.isWhole ? "" : "+"}`);
    setText(button.querySelector(".oldest"), oldest === null ? "" : `oldest: ${age(oldest)}`);
  }
  const { read, of } = stats.progress ?? {};
  const part = read === undefined ? "" : `: ${read.toLocaleString("en")} of about ${of.toLocaleString("en")}`;
  show(at("counting"), stats.isWhole ? "" : `The store is large, so only a part was counted${part}.`);
  setText(at("operator"), `Changes are written down in the name of ${stats.operator}.`);
}

const rows = new Map();

/** Updates the rows in place, so that the focus and the selection stay. */
function showRecords(records, selected, open) {
  const body = at("records").tBodies[0];
  const focused = document.activeElement;
  records.forEach((record, index) => {
    let row = rows.get(record.key);
    if (!row) rows.set(record.key, (row = makeRow(record.key, open)));
    updateRow(row, record);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  const there = new Set(records.map((record) => record.key));
  for (const [key, row] of rows) {
    if (there.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  at("records").hidden = records.length === 0;
  selectRow(selected);
  if (focused !== document.activeElement && body.contains(focused)) focused.focus();
}

function makeRow(key, open) {
  const cell = (label, ...contents) => element("td", { "data-label": label }, ...contents);
  const button = element("button", { type: "button", class: "key" }, key.slice(0, 8));
  const row = element(
    "tr",
    { "data-key": key },
    element("th", { scope: "row" }, button),
    cell("State", element("span", { class: "badge" })),
    cell("Unchanged for"),
    cell("Route"),
    cell("Scope"),
    cell("Attempts"),
    cell("Response"),
  );
  row.addEventListener("click", () => open(key, button));
  return row;
}

function updateRow(row, record) {
  const [, state, changed, route, scope, attempts, response] = row.children;
  const badge = state.firstChild;
  badge.dataset.state = record.state;
  const doubt = record.in_doubt && record.state === "in-flight" ? ", in doubt" : "";
  setText(badge, `${STATES[record.state] ?? record.state}${doubt}`);
  setText(changed, age(record.changed_seconds_ago));
  setText(route, record.route ?? "not known");
  setText(scope, record.scope?.slice(0, 8) ?? "not known");
  setText(attempts, String(record.attempt));
  setText(response, responseOf(record));
}

function selectRow(selected) {
  for (const [key, row] of rows) {
    const isSelected = key === selected;
    row.classList.toggle("selected", isSelected);
    row.querySelector("button").setAttribute("aria-expanded", String(isSelected));
  }
}

function showSummary(found, filter) {
  const { records, isWhole, isEnough, progress } = found;
  const words = [];
  const name = (STATES[filter.state ?? ""] ?? filter.state).toLowerCase();
  const others = Object.keys(filter).some((one) => !["state", "order"].includes(one));
  if (records.length > 0) {
    words.push(`${count(records.length, "record")}${isWhole ? "" : " so far"}.`);
  } else if (isWhole) {
    const which = name === "all" ? "There is no record" : `There is no record that is ${name}`;
    words.push(`${which}${others ? " and passes the filters" : ""}.`);
  }
  if (!isWhole && !isEnough) {
    const part = progress ? ` ${progress.read.toLocaleString("en")} of about ${progress.of.toLocaleString("en")} records` : "";
    words.push(`The store is large: the search went through${part || " a part of it"}.`);
  }
  setText(at("summary"), words.join(" "));
  at("more").hidden = isWhole || !isEnough;
}
