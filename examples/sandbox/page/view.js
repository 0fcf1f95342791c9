// What the page shows. What comes from a server goes in as text, never as markup.

/** Finds an element of the page by its id. */
export const find = (id) => document.getElementById(id);

/** Makes an element. */
export function element(name, kind, children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

/**
 * Shows the three numbers that the page is about, at the top and beside the requests of the order.
 * Payments are those of the ledger, if it can be read.
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
    // Without a look at the layout in between, the browser would not begin the animation anew.
    void number.offsetWidth;
    number.classList.add("changed");
  }
  setText("tries-count", words.join(" → "));
  find("payments").parentElement.dataset.payments = payments === undefined ? "unknown" : payments > 1 ? "many" : "few";
}

/**
 * Shows the order in the form. One that was sent cannot be changed: its key belongs to what was
 * sent.
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
  // A field that is switched off would take the focus along with it.
  if (focused?.disabled) find("pay").focus();
}

function show(field, value) {
  if (field.value !== value) field.value = value;
}

/** Shows what is wrong with the fields, and leads to the first. Says whether all is well. */
export function showMistakes(mistakes) {
  for (const id of ["amount", "to"]) showMistake(id, mistakes[id]);
  const [first] = Object.keys(mistakes);
  if (first) find(first).focus();
  return !first;
}

/** Shows what is wrong with a field, if something is. */
export function showMistake(id, words = "") {
  find(`${id}-mistake`).textContent = words;
  find(`${id}-mistake`).hidden = words === "";
  find(id).setAttribute("aria-invalid", String(words !== ""));
}

const MARKS = { idle: "○", busy: "…", done: "✓", unsure: "?", refused: "!" };

/** Shows how the order stands. */
export function showStatus({ tone, title, detail, note }) {
  find("status").dataset.tone = tone;
  setText("status-mark", MARKS[tone]);
  setText("status-title", title);
  setText("status-detail", detail);
  setText("status-note", note);
}

/** Sets a text, unless it is there already: it would be read out again. */
function setText(id, text = "") {
  if (find(id).textContent !== text) find(id).textContent = text;
}

/**
 * Shows for how long the client goes on by itself, and the button that stops it. No argument hides
 * both.
 */
export function showTimeLeft(words) {
  // The focus would be lost along with the button.
  if (words === undefined && document.activeElement === find("stop")) find("pay").focus();
  find("left").hidden = words === undefined;
  setText("left-words", words);
}

/** Where the page was scrolled to, while it follows what a click has begun. */
let followedTo;
addEventListener("scroll", () => {
  // The user has scrolled, and decides from now on.
  if (followedTo !== undefined && Math.abs(scrollY - followedTo) > 1) followedTo = undefined;
});

/** Has the button and what it began stay in view together, also as the words grow. */
export function followOutcome() {
  followedTo = scrollY;
  showOutcome();
}

/** Leaves the page where it is from now on. */
export function endFollowing() {
  followedTo = undefined;
}

/** Moves the button and what it began into view, where a small screen cuts them apart. */
export function showOutcome() {
  if (followedTo === undefined) return;
  find("act").scrollIntoView({ block: "nearest" });
  followedTo = scrollY;
}

/**
 * Shows the header, the command and the documentation for people who want to look under the hood.
 */
export function showCurious({ header, curl, docs }) {
  setText("header", header);
  setText("curl", curl);
  if (!docs) return;
  find("docs").href = docs;
  find("docs").hidden = false;
}
