// The form that settles, releases and deletes, and the question before a change is sent.

function makeChoices() {
  for (const [choice, { label }] of Object.entries(CHOICES)) {
    const input = element("input", { type: "radio", name: "choice", value: choice });
    at("choices").append(element("label", {}, input, element("span", {}, label)));
  }
  at("choices").addEventListener("change", () => {
    const { preset } = CHOICES[chosen()];
    if (preset !== undefined) at("status").value = preset;
    updateChange();
  });
  at("change").addEventListener("input", updateChange);
  at("change").addEventListener("submit", (event) => {
    event.preventDefault();
    review();
  });
  at("cancel").addEventListener("click", () => at("confirm").close());
}

const chosen = () => document.querySelector("#choices input:checked")?.value ?? "";

/** Empties the form for another record. */
function resetChange() {
  at("change").reset();
  show(at("wrong"), "");
  updateChange();
}

/** Shows what belongs to the choice, and what it leads to. */
function updateChange() {
  const record = shown?.record;
  at("change").hidden = !record;
  if (!record) return;
  const possible = choicesFor(shown);
  for (const input of document.querySelectorAll("#choices input")) {
    const isPossible = possible.includes(input.value);
    input.closest("label").hidden = !isPossible;
    input.disabled = !isPossible;
    if (!isPossible) input.checked = false;
  }
  const choice = CHOICES[chosen()];
  at("response").hidden = chosen() !== "response";
  at("status-field").hidden = !choice?.status;
  if (choice?.status) setText(at("status-label"), choice.status);
  const runs = record.state === "in-flight";
  at("fence-field").hidden = !runs;
  setText(at("consequence"), choice ? consequence(choice) : "");
  at("review").classList.toggle("danger", Boolean(choice?.danger));
  // What was wrong is looked at again when it is sent.
  show(at("wrong"), "");
  for (const field of at("change").querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

function consequence(choice) {
  const bytes = new TextEncoder().encode(at("body").value).length;
  const text = choice.consequence(at("status").value.trim(), bytes);
  return shown.record.state === "in-flight" ? `${text} ${FENCED}` : text;
}

/** The change as it is sent, or what is wrong and at which field. */
function readChange() {
  const name = chosen();
  const choice = CHOICES[name];
  if (!choice) return { wrong: "Choose what happened.", field: document.querySelector("#choices input:not(:disabled)") };
  const text = at("status").value.trim();
  const status = Number(text);
  if (choice.status && !(choice.optional && text === "") && !/^[2-5]\d\d$/.test(text)) {
    return { wrong: "A status is a number from 200 to 599.", field: at("status") };
  }
  const reason = at("reason").value.trim();
  if (reason === "") return { wrong: "Give a reason. It stays in the history.", field: at("reason") };
  const { attempt, token, state } = shown.record;
  if (state === "in-flight" && !at("fence").checked) {
    return { wrong: "An attempt runs. Wait until it ends, or take the record away from it.", field: at("fence") };
  }
  const body = { seen: { attempt, token, state }, reason, even_in_flight: state === "in-flight", even_unreadable: Boolean(shown.unreadable) };
  if (name === "response") {
    const headers = readHeaders();
    if (!headers) return { wrong: "A header is a name, a colon and a value.", field: at("headers") };
    body.response = { status, headers, text: at("body").value };
  }
  if (name === "done") body.done = { status };
  if (name === "failed") body.failed = text === "" ? {} : { status };
  return { key: shown.key, action: name in { release: 1, erase: 1 } ? name : "settle", body, choice };
}

function readHeaders() {
  const headers = {};
  for (const line of at("headers").value.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon < 1 || !/^[-!#$%&'*+.^_`|~0-9a-z]+$/.test(name)) return null;
    (headers[name] ??= []).push(line.slice(colon + 1).trim());
  }
  return headers;
}

/** Asks before anything is sent. */
function review() {
  const change = readChange();
  show(at("wrong"), change.wrong ?? "");
  if (change.wrong) {
    change.field?.setAttribute("aria-invalid", "true");
    change.field?.focus();
    return;
  }
  const { record } = shown;
  setText(at("confirm-title"), change.choice.title);
  setText(at("confirm-text"), consequence(change.choice));
  const route = record.route ? `, ${record.route}` : "";
  setText(at("confirm-record"), `Record ${record.key.slice(0, 8)}${route}: ${versionOf(record)}.`);
  setText(at("send"), change.choice.send);
  at("send").classList.toggle("danger", Boolean(change.choice.danger));
  at("send").onclick = () => send(change);
  at("confirm").showModal();
  // The safe button has the focus.
  at("cancel").focus();
}

/** Sends the change of the version that the operator saw, whatever has come since. */
async function send({ key, action, body }) {
  at("send").disabled = true;
  try {
    const { result } = await sendChange(key, action, body);
    at("confirm").close();
    if (shown?.key !== key) return;
    await reloadRecord();
    show(at("moved"), "");
    resetChange();
    setText(at("result"), result === "applied" ? "Done." : "This was done before. Nothing was changed now.");
    at("record").focus();
  } catch (problem) {
    at("confirm").close();
    if (shown?.key === key) await reloadRecord().catch(() => {});
    show(at("wrong"), problem.message);
    at("wrong").scrollIntoView({ block: "nearest" });
  } finally {
    at("send").disabled = false;
  }
  void refresh();
}

async function reloadRecord() {
  const { key } = shown;
  let now;
  try {
    now = await loadRecord(key);
  } catch (problem) {
    if (problem.code !== "admin_record_unknown") throw problem;
    now = { record: null, history: [], unreadable: null, response_headers: null };
  }
  // Another record may have been opened meanwhile.
  if (shown?.key !== key) return;
  const { hasMoved } = showRecord(key, now);
  if (hasMoved) updateChange();
}
