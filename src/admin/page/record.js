// One record: its facts and its history.

/** The record that is shown, as the operator sees it: a change is made to this version only. */
let shown = null;

const isSame = (one, other) =>
  one.token === other.token && one.attempt === other.attempt && one.state === other.state;

function versionOf(record) {
  return record ? `${STATES[record.state] ?? record.state}, attempt ${record.attempt}`.toLowerCase() : "gone";
}

/** Shows a record. If it is another version than before, it says so. */
function showRecord(key, now) {
  const before = shown?.key === key ? shown : null;
  const isOther = !before;
  const hasMoved =
    before && (Boolean(before.record) !== Boolean(now.record) || (now.record && !isSame(before.record, now.record)));
  shown = { ...now, key };
  at("record").hidden = false;
  setText(at("record-title"), `Record ${key.slice(0, 8)}`);
  const unreadable = UNREADABLE[now.unreadable];
  setText(at("meaning"), now.record ? (unreadable ?? MEANINGS[now.record.state] ?? "") : "There is no record: the key is free.");
  if (isOther) {
    show(at("moved"), "");
    setText(at("result"), "");
  } else if (hasMoved) {
    const from = versionOf(before.record);
    show(at("moved"), `This record has changed while you looked at it. It was ${from}, and is now ${versionOf(now.record)}.`);
  }
  showFacts(now);
  showHistory(now.history);
  return { isOther, hasMoved: Boolean(hasMoved) };
}

function showFacts({ record, response_headers: headers }) {
  const facts = record ? factsOf(record, headers) : [];
  const list = at("facts");
  while (list.children.length > facts.length) list.lastChild.remove();
  facts.forEach(([name, value], index) => {
    const place = list.children[index] ?? list.appendChild(element("div", {}, element("dt"), element("dd")));
    setText(place.firstChild, name);
    setText(place.lastChild, value);
    place.lastChild.classList.toggle("digits", /^[0-9a-f]{32,}$/.test(value));
  });
}

function factsOf(record, headers) {
  const facts = [
    ["State", `${STATES[record.state] ?? record.state}${record.in_doubt ? ", in doubt" : ""}`],
    ["Unchanged for", age(record.changed_seconds_ago)],
    ["Reserved", record.reserved_seconds_ago === null ? "not known" : `${age(record.reserved_seconds_ago)} ago`],
    ["Attempts", String(record.attempt)],
    ["Route", record.route ?? "not known: the layer does not label its records"],
    ["Namespace", record.namespace || "none"],
    ["Scope", record.scope ?? "not known"],
    ["Key", record.key],
    ["Expires", record.expires_in_seconds === null ? "not known" : `in ${age(record.expires_in_seconds)}`],
  ];
  if (record.status || record.bytes) {
    const of = headers === null || headers === undefined ? "" : `, ${count(headers, "header")}`;
    const packed = record.packed ? ", compressed or encrypted" : "";
    facts.push(["Response", `${responseOf(record)}${of}${packed}`]);
  }
  return facts;
}

function showHistory(history) {
  at("no-history").hidden = history.length > 0;
  const list = at("history");
  const ids = history.map((entry) => `${entry.id} ${entry.at_unix_seconds}`);
  // The same entries stay as they are, with whatever a person has selected in them.
  if ([...list.children].map((item) => item.dataset.id).join() === ids.join()) return;
  list.replaceChildren(...history.map(entryOf));
}

function entryOf(entry) {
  // A time that is damaged may be later than any date.
  const when = new Date(Math.min(entry.at_unix_seconds * 1000, Date.UTC(9999, 11, 31)));
  const was = `It was ${(STATES[entry.was] ?? entry.was).toLowerCase()}, attempt ${entry.attempt}.`;
  return element(
    "li",
    { "data-id": `${entry.id} ${entry.at_unix_seconds}` },
    element("p", {}, element("b", {}, entry.by), ` ${ACTIONS[entry.action] ?? entry.action}`),
    element("p", { class: "reason" }, entry.reason),
    element("p", { class: "hint" }, element("time", { datetime: when.toISOString() }, when.toLocaleString()), `. ${was}`),
  );
}
