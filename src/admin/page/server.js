// Asks the server. What it says is data, and becomes text on the page.

/** The page works under any path, with or without a slash at its end. */
const BASE = new URL(`${location.pathname.replace(/\/*$/, "")}/`, location.origin);

/** A response that is not the one that was asked for. */
class Problem extends Error {
  constructor(words, problem = {}) {
    super(words);
    this.code = problem.code ?? "";
    this.record = problem.record;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(30_000),
      ...options,
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(late ? "The server has not responded for 30 seconds." : "The server cannot be reached.");
  }
  const isJson = /^application\/(problem\+)?json/.test(response.headers.get("content-type") ?? "");
  const data = isJson ? await response.json().catch(() => ({})) : {};
  if (response.ok && isJson) return data;
  const detail = typeof data.detail === "string" ? data.detail : `the server responded with status ${response.status}`;
  throw new Problem(`${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`, data);
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

/** Longer than this, a person is shown what was found so far. */
const PATIENCE_MS = 4_000;

/** Adds up the parts of the statistics, or as many as there is time for. */
async function loadStats() {
  const since = performance.now();
  let sum;
  let after = null;
  do {
    const part = await ask(`stats?${query({ after })}`);
    sum = sum ? added(sum, part) : part;
    after = part.next;
  } while (after !== null && performance.now() - since < PATIENCE_MS);
  return { ...sum, isWhole: after === null };
}

function added(sum, part) {
  const states = {};
  for (const [state, one] of Object.entries(part.states)) {
    const before = sum.states[state];
    const ages = [before.oldest_changed_seconds_ago, one.oldest_changed_seconds_ago].filter((age) => age !== null);
    states[state] = {
      count: before.count + one.count,
      bytes: before.bytes + one.bytes,
      oldest_changed_seconds_ago: ages.length > 0 ? Math.max(...ages) : null,
    };
  }
  return { ...part, states, progress: joined(sum.progress, part.progress) };
}

function joined(before, more) {
  return before && more ? { read: before.read + more.read, of: more.of } : (more ?? before);
}

/** Loads pages until there are `wanted` records, there are no more, or it takes too long. */
async function loadRecords(filter, wanted) {
  const since = performance.now();
  const records = new Map();
  let progress = null;
  let after = null;
  do {
    const limit = Math.min(1000, wanted - records.size);
    const page = await ask(`records?${query({ ...filter, limit, after })}`);
    for (const record of page.records) records.set(record.key, record);
    progress = joined(progress, page.progress);
    after = page.next;
  } while (after !== null && records.size < wanted && performance.now() - since < PATIENCE_MS);
  return { records: [...records.values()], isWhole: after === null, isEnough: records.size >= wanted, progress };
}

function loadRecord(digits) {
  return ask(`records/${encodeURIComponent(digits)}`);
}

function sendChange(key, action, body) {
  return ask(`records/${encodeURIComponent(key)}/${action}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}
