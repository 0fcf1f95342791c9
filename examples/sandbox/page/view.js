// The view of the page. Data from a server is inserted as text, never as markup.

/** Finds an element of the page by its id. */
export const find = (id) => document.getElementById(id);

/** Creates an element. */
export function element(name, kind, children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

/**
 * Shows the three main numbers, at the top and beside the requests of the order. The number of
 * payments comes from the ledger, if it can be read.
 */
export function showCounter(order, payments) {
  const counts = { clicks: order.clicks, requests: order.requests, payments: payments ?? "?" };
  const words = [];
  for (const [id, count] of Object.entries(counts)) {
    const number = find(id);
    const what = count === 1 ? id.slice(0, -1) : id;
    words.push(`${count} ${what}`);
    number.nextElementSibling.textContent = what;
    if (number.textContent === String(count)) continue;
    number.textContent = count;
    number.classList.remove("changed");
    // Reading the layout in between makes the browser restart the animation.
    void number.offsetWidth;
    number.classList.add("changed");
  }
  setText("tries-count", words.join(" → "));
  find("payments").parentElement.dataset.payments = payments === undefined ? "unknown" : payments > 1 ? "many" : "few";
}

/**
 * Shows the order in the form. A sent order cannot be changed, because its key belongs to the sent
 * request.
 */
export function showOrder(order) {
  const fixed = order.stage !== "draft";
  find("order").textContent = `Order ${order.number}`;
  find("terms").dataset.fixed = fixed;
  for (const id of ["amount", "to"]) {
    show(find(id), order[id]);
    find(id).readOnly = fixed;
  }
  show(find("currency"), order.currency);
  const focused = document.activeElement;
  find("currency").disabled = fixed;
  for (const option of document.querySelectorAll("[name=delay]")) {
    option.checked = option.value === order.delay;
    option.disabled = fixed;
  }
  find("keyless").checked = order.keyless;
  setText("promise", order.keyless ? "Without a key, you may pay twice." : "You pay once.");
  find("promise").dataset.keyless = order.keyless;
  // A disabled field would lose the focus.
  if (focused?.disabled) find("pay").focus();
}

function show(field, value) {
  if (field.value !== value) field.value = value;
}

/** Shows the errors of the fields and focuses the first. Returns whether there are none. */
export function showMistakes(mistakes) {
  for (const id of ["amount", "to"]) showMistake(id, mistakes[id]);
  const [first] = Object.keys(mistakes);
  if (first) find(first).focus();
  return !first;
}

/** Shows the error of a field, if there is one. */
export function showMistake(id, words = "") {
  find(`${id}-mistake`).textContent = words;
  find(`${id}-mistake`).hidden = words === "";
  find(id).setAttribute("aria-invalid", String(words !== ""));
}

const MARKS = { idle: "○", busy: "…", done: "✓", unsure: "?", rejected: "!" };

/** Shows the status of the order. */
export function showStatus({ tone, title, detail, note }) {
  find("status").dataset.tone = tone;
  setText("status-mark", MARKS[tone]);
  setText("status-title", title);
  setText("status-detail", detail);
  setText("status-note", note);
}

/** Sets a text if it differs, because screen readers would read it again. */
function setText(id, text = "") {
  if (find(id).textContent !== text) find(id).textContent = text;
}

/**
 * Shows how long the client still retries, and the button that stops it. Without an argument it
 * hides both.
 */
export function showTimeLeft(words) {
  // A hidden button would lose the focus.
  if (words === undefined && document.activeElement === find("stop")) find("pay").focus();
  find("left").hidden = words === undefined;
  setText("left-words", words);
}

/** The scroll position, while the page follows the result of a click. */
let followedTo;
addEventListener("scroll", () => {
  // The user has scrolled, so the page stops following.
  if (followedTo !== undefined && Math.abs(scrollY - followedTo) > 1) followedTo = undefined;
});

/** Keeps the button and its result in view together, also when the text grows. */
export function followOutcome() {
  followedTo = scrollY;
  showOutcome();
}

/** Stops following. */
export function endFollowing() {
  followedTo = undefined;
}

/** Moves the button and its result into view, if a small screen separates them. */
export function showOutcome() {
  if (followedTo === undefined) return;
  find("act").scrollIntoView({ block: "nearest" });
  followedTo = scrollY;
}

/**
 * Shows the header, the command and the documentation for curious people.
 */
export function showCurious({ header, curl, docs }) {
  setText("header", header);
  setText("curl", curl);
  if (!docs) return;
  find("docs").href = docs;
  find("docs").hidden = false;
}
