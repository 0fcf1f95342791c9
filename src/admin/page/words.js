// The words of the page: states, actions and their consequences, times and sizes.

const STATES = {
  stuck: "Stuck",
  "in-doubt": "In doubt",
  abandoned: "Abandoned",
  failed: "Failed",
  "not-retained": "Not retained",
  "in-flight": "In flight",
  success: "Success",
  "": "All",
};

const MEANINGS = {
  "in-flight": "An attempt runs now. It renews its lease.",
  abandoned: "The attempt was cut off: its process ended, or it lost the store. It is not known how far it came.",
  failed: "The attempt failed without a definitive response. It may have had an effect.",
  success: "The operation was done. Clients get its response.",
  "not-retained": "The operation was done, and its response was not stored. Retries are rejected.",
};

/** What an operator can say of a record, and what follows. */
const CHOICES = {
  response: {
    label: "It was done, and I have the response",
    status: "Status of the response",
    preset: "201",
    title: "Store this response?",
    send: "Store the response",
    consequence: (status, bytes) => {
      const body = bytes > 0 ? `a body of ${size(bytes)}` : "no body";
      return `Each retry of this request gets this response, with status ${status} and ${body}. The operation does not run again.`;
    },
  },
  done: {
    label: "It was done, and there is no response",
    status: "Status that it would have had",
    preset: "201",
    title: "Settle as done?",
    send: "Settle as done",
    consequence: (status) =>
      `The operation does not run again. Each retry is rejected with 409, which says that it was done with status ${status}.`,
  },
  failed: {
    label: "It failed",
    status: "Status, if there was one",
    optional: true,
    preset: "",
    title: "Settle as failed?",
    send: "Settle as failed",
    consequence: (status) =>
      `The record says that the operation failed${status ? ` with status ${status}` : ""}. The next retry runs it again, unless the service is set to reject or replay failures.`,
  },
  release: {
    label: "Nothing happened",
    title: "Release the key?",
    send: "Release the key",
    danger: true,
    consequence: () =>
      "The key becomes free, and the next retry runs the operation as its first attempt. If the operation did have an effect, it has it a second time.",
  },
  erase: {
    label: "Forget it: delete the record",
    title: "Delete the record?",
    send: "Delete the record",
    danger: true,
    consequence: () =>
      "The record is deleted, and the next retry runs the operation again, also if it was done. The entry in the history stays.",
  },
};

const FENCED =
  "An attempt runs now. It loses its lease, and its response is not stored. It goes on until its handler notices.";

/** Which choices there are for a record. The server has the last word. */
function choicesFor(shown) {
  const { state } = shown.record;
  if (state === "success" && !shown.unreadable) return ["erase"];
  if (state === "success" || state === "not-retained") return ["response", "done", "erase"];
  return Object.keys(CHOICES);
}

const UNREADABLE = {
  decrypt: "The response cannot be decrypted: the service does not have its key.",
  corrupt: "The response cannot be read: it is damaged.",
};

const ACTIONS = {
  release: "released the key",
  respond: "stored a response",
  fail: "settled it as failed",
  conclude: "settled it as done",
  erase: "deleted the record",
};

function age(seconds) {
  if (seconds === null || seconds === undefined) return "not known";
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, length]) => seconds >= length);
  if (at < 0) return "under 1 s";
  const [unit, length] = units[at];
  const whole = Math.floor(seconds / length);
  const next = units[at + 1];
  const rest = next && whole < 10 ? Math.floor((seconds - whole * length) / next[1]) : 0;
  return `${whole} ${unit}${rest ? ` ${rest} ${next[0]}` : ""}`;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function count(number, one) {
  return `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
}

function responseOf(record) {
  const parts = [];
  if (record.status) parts.push(String(record.status));
  if (record.not_retained) parts.push(`not stored (${record.not_retained})`);
  else if (record.bytes) parts.push(size(record.bytes));
  return parts.join(", ") || "none";
}
