// Puts the page together: what is asked for, when, and what is selected.

/** How many records a list begins with, and grows by. */
const STEP = 50;
const PAUSE_MS = 5_000;
/** So that an open page takes at most this part of the time of a large store. */
const SHARE = 0.05;

let state = "stuck";
let wanted = STEP;
let timer = 0;
let running = null;
let isStale = false;

const filterOf = () => {
  const given = Object.fromEntries(new FormData(at("filters")));
  const filter = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value.trim()]));
  return Object.fromEntries(Object.entries({ state, ...filter }).filter(([, value]) => value !== ""));
};

/** Loads everything that is shown. A second call while one runs makes one more turn after it. */
async function refresh() {
  if (running) {
    isStale = true;
    return running;
  }
  clearTimeout(timer);
  running = load();
  const took = await running;
  running = null;
  if (isStale) {
    isStale = false;
    return refresh();
  }
  schedule(Math.max(PAUSE_MS, took / SHARE));
}

async function load() {
  const since = performance.now();
  const filter = filterOf();
  at("records").setAttribute("aria-busy", "true");
  try {
    const found = await loadRecords(filter, wanted);
    showRecords(found.records, shown?.key, open);
    showSummary(found, filter);
    showStats(await loadStats());
    if (shown) await reloadRecord();
    show(at("trouble"), "");
    setText(at("updated"), `Updated at ${new Date().toLocaleTimeString()}`);
  } catch (problem) {
    const stale = rows.size > 0 ? " What you see may be old." : "";
    show(at("trouble"), `${problem.message}${stale}`);
  }
  at("records").removeAttribute("aria-busy");
  return performance.now() - since;
}

function schedule(pause) {
  clearTimeout(timer);
  if (at("auto").checked && !document.hidden) timer = setTimeout(refresh, pause);
}

async function open(key, from = null) {
  try {
    const now = await loadRecord(key);
    const whole = now.record?.key ?? key;
    const { isOther } = showRecord(whole, now);
    if (isOther) resetChange();
    openedFrom = from;
    selectRow(whole);
    remember();
    at("record").focus();
    at("record").scrollIntoView({ block: "nearest" });
  } catch (problem) {
    show(at("trouble"), problem.message);
  }
}

let openedFrom = null;

function close() {
  shown = null;
  at("record").hidden = true;
  selectRow(null);
  remember();
  (openedFrom?.isConnected ? openedFrom : at("records")).focus();
}

/** The address says what is shown, so that it can be sent to a colleague. */
function remember() {
  const place = query({ ...filterOf(), state, record: shown?.key });
  history.replaceState(null, "", `#${state === "" ? `state=&${place}` : place}`);
}

function recall() {
  const place = new URLSearchParams(location.hash.slice(1));
  const known = place.get("state") ?? "stuck";
  state = known in STATES ? known : "stuck";
  pressState(state);
  for (const field of at("filters").elements) {
    if (field.name) field.value = place.get(field.name) ?? "";
  }
  at("more-filters").open = ["namespace", "scope", "order"].some((name) => place.get(name));
  return place.get("record");
}

function filterAgain() {
  wanted = STEP;
  remember();
  void refresh();
}

makeStates((chosen) => {
  state = chosen;
  pressState(state);
  filterAgain();
});
makeChoices();
const record = recall();
// A filter counts when it is complete: at the end of a line of digits, not at each of them.
at("filters").addEventListener("change", filterAgain);
at("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  filterAgain();
});
at("filters").addEventListener("reset", () => setTimeout(filterAgain));
at("more").addEventListener("click", () => {
  wanted += STEP;
  void refresh();
});
at("refresh").addEventListener("click", refresh);
at("auto").addEventListener("change", refresh);
at("close").addEventListener("click", close);
at("record").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !at("confirm").open) close();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void refresh();
});
await refresh();
if (record) await open(record);
