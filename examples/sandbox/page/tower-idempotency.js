// tower-idempotency for browsers, made from sdk/typescript by `npm run bundle`. Do not edit.

// src/digest.ts
async function digestOf(label, fields) {
  const parts = fields.flatMap((field) => {
    const bytes = typeof field === "string" ? utf8(field) : field;
    return [utf8(`${bytes.byteLength}:`), bytes];
  });
  return sha256([utf8(`${label}\0`), ...parts]);
}
async function sha256(parts) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", concat(parts)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
function utf8(text) {
  return new TextEncoder().encode(text);
}
function concat(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

// src/disposition.ts
function dispositionOf(judged) {
  return judge(judged, problemOf(judged, judged.body));
}
function judge({ status, headers, redirected, inDoubt, profile = "default" }, problem) {
  if (redirected || status < 200 || NEVER_FINAL.test(`${status}`)) return "unknown";
  const shouldRetry = flag(headers, "x-should-retry") ?? flag(headers, "stripe-should-retry");
  if (shouldRetry) return "retry";
  const never = shouldRetry === false;
  const retry2 = never ? "unknown" : "retry";
  if (isReplay({ headers })) return status === 408 || status >= 500 ? "unknown" : "final";
  const temporary = TEMPORARY.test(`${status}`);
  const code = problem?.code;
  if (code === "idempotency_key_in_flight") return retry2;
  if (code === NOT_RETAINED) return "final";
  if (status < 500 && !temporary && (problem === null || code?.startsWith("idempotency_"))) return "unknown";
  if (status === 409 && never) return "unknown";
  if (temporary || status === 409 && headers.get("retry-after") !== null) return retry2;
  if (status >= 500) return "unknown";
  if (status < 300) return "final";
  return inDoubt || NOT_STORED[profile].test(`${status}`) ? "unknown" : "final";
}
function beginsDoubt({ status, redirected }) {
  return !!redirected || !NOT_STORED.default.test(`${status}`);
}
function isReplay({ headers }) {
  return ["x-idempotent-result", "idempotent-replayed"].some((name) => flag(headers, name));
}
function mediaType(headers) {
  return headers.get("content-type")?.split(/[;,]/)[0].trim().toLowerCase();
}
function problemOf({ status, headers }, body) {
  if (status < 400 || mediaType(headers) !== "application/problem+json") return void 0;
  try {
    const text = typeof body === "string" ? body : new TextDecoder().decode(body);
    if (!body || utf8(text).byteLength > LONGEST_PROBLEM) return null;
    const { code, original_status } = JSON.parse(text) ?? {};
    return { code: `${code}`, original_status };
  } catch {
    return null;
  }
}
var NOT_RETAINED = "idempotency_result_not_retained";
var NEVER_FINAL = /30[78]|421/;
var TEMPORARY = /408|42[59]|50[0234]|52\d|530/;
var NOT_STORED = {
  default: /30[78]|40[013567]|41[123457]|42[1-689]|431|511/,
  stripe: /40[01]|429/,
  ietf: /^$/
};
var LONGEST_PROBLEM = 64 * 1024;
function flag(headers, name) {
  const [value, other] = new Set(headers.get(name)?.toLowerCase().split(",").map((one) => one.trim()));
  return other === void 0 && /^(true|false)$/.test(value) ? value === "true" : void 0;
}

// src/outcome.ts
function outcomeOf(result) {
  return search(result, 9);
}
var outcomes = /* @__PURE__ */ new WeakMap();
function note(result, outcome) {
  if (outcome && Object(result) === result) {
    const before = outcomes.get(result);
    const isSame = before?.key === outcome.key && before?.operation === outcome.operation;
    outcomes.set(result, before === void 0 || isSame ? outcome : null);
  }
  return result;
}
function search(result, depth) {
  if (Object(result) !== result || !depth) return void 0;
  const { cause, response } = result;
  return outcomes.get(result) ?? search(cause, depth - 1) ?? search(response, depth - 1);
}

// src/reply.ts
function isReadWhole({ status, headers }) {
  return status >= 200 && status < 600 && mediaType(headers) !== "text/event-stream";
}
async function bytesOf(response, onPiece) {
  const reader = response.body?.getReader?.();
  if (!reader) return new Uint8Array(await response.arrayBuffer());
  const pieces = [];
  for (; ; ) {
    const { done, value } = await reader.read();
    if (done) return concat(pieces);
    pieces.push(value);
    onPiece();
  }
}
function responseFor({ response, bytes }, outcome, last = true) {
  if (!bytes) return note(last ? response : response.clone(), outcome);
  const { status, statusText, headers, url, redirected, type } = response;
  const copy = new Response([204, 205, 304].includes(status) ? null : bytes, { status, headers });
  const own = { statusText, url, redirected, type, clone: () => responseFor({ response, bytes }, outcome) };
  for (const [name, value] of Object.entries(own)) Object.defineProperty(copy, name, { value });
  return note(copy, outcome);
}

// src/multipart.ts
async function withSteadyBoundary(body, type) {
  const boundary = /^multipart\/form-data;\s*boundary=("?)([^";\s]+)\1$/i.exec(type ?? "")?.[2];
  if (boundary === void 0) return { body, type };
  const text = Array.from(body, (byte) => String.fromCharCode(byte)).join("");
  const parts = text.split(`--${boundary}`);
  if (parts.length < 2) return { body, type };
  const steady = `tower-idempotency-${(await digestOf("tower-idempotency boundary v1", parts)).slice(0, 40)}`;
  return {
    body: Uint8Array.from(parts.join(`--${steady}`), (character) => character.charCodeAt(0)),
    type: `multipart/form-data; boundary=${steady}`
  };
}

// src/request.ts
function requestIn(input) {
  return Object(input).headers && input;
}
function take(input, init) {
  const given = requestIn(input);
  const formData = init.body == null ? given !== void 0 : init.body instanceof FormData;
  const request = new Request(input, { ...init, signal: null, duplex: "half" });
  if (request.mode === "no-cors") throw new TypeError("the mode no-cors sends no key");
  const { method, url } = request;
  return async () => {
    const headers = new Headers(request.headers);
    const bytes = new Uint8Array(await request.arrayBuffer());
    const bodiless = method === "GET" || method === "HEAD" || bytes.byteLength === 0 && !headers.has("content-type");
    const { body, type } = await withSteadyBoundary(bytes, formData ? headers.get("content-type") : null);
    if (type !== null) headers.set("content-type", type);
    return { method, url, headers, body: bodiless ? null : body, rest: { ...given && settingsOf(given), ...init } };
  };
}
function send(request, fetcher, signal) {
  const { method, url, headers, body, rest } = request;
  return fetcher(url, { ...rest, method, headers, body: body && IN_NODE ? new Blob([body]) : body, signal });
}
var IN_NODE = typeof document === "undefined" && "process" in globalThis;
function settingsOf(request) {
  const names = "cache credentials integrity keepalive redirect referrer referrerPolicy mode".split(" ");
  return Object.fromEntries(names.filter((name) => request[name] !== "navigate").map((name) => [name, request[name]]));
}

// src/attempt.ts
async function attempt(request, { clock, fetch: fetch2 }, call, deadline, signal) {
  const connection = new AbortController();
  const done = new AbortController();
  const stop = () => connection.abort(signal.reason);
  const timeout = new DOMException("no progress in time", "TimeoutError");
  let progress = clock.elapsed() + Math.floor((request.body?.byteLength ?? 0) / SLOWEST_UPLOAD);
  let reading = false;
  const watch = async () => {
    for (let left; (left = Math.min(progress + call.attemptTimeout, deadline) - clock.elapsed()) > 0; ) await clock.sleep(left, done.signal);
    connection.abort(timeout);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  watch().catch(() => {
  });
  try {
    const response = await until(connection.signal, () => send(request, fetch2, connection.signal));
    const { status, headers, arrayBuffer, bodyUsed } = response ?? {};
    if (typeof status !== "number" || !headers?.get || !arrayBuffer || bodyUsed) throw new TypeError("fetch did not return a fresh Response");
    progress = clock.elapsed();
    if (!isReadWhole(response)) return { reply: { response } };
    reading = true;
    const bytes = await until(connection.signal, () => bytesOf(response, () => progress = clock.elapsed()));
    reading = false;
    signal.removeEventListener("abort", stop);
    responseFor({ response, bytes });
    return { reply: { response, bytes } };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error, again: reading || error === timeout || call.retryIf(error) };
  } finally {
    done.abort();
  }
}
function until(signal, step) {
  if (!signal) return step();
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    step().then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
var SLOWEST_UPLOAD = 16.384;

// src/clock.ts
var systemClock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  random: () => Math.random(),
  sleep: (milliseconds, signal) => {
    let timer;
    const sleeping = until(signal, () => new Promise((resolve) => timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_TIMER))));
    return sleeping.finally(() => clearTimeout(timer));
  }
};
var LONGEST_TIMER = 2 ** 31 - 1;

// src/key-header.ts
function keyIn(headers, header) {
  return headers.get(header) ?? headers.get("X-Idempotency-Key") ?? headers.get("Idempotency-Key");
}
function withKey(request, { header, quoted }, key) {
  if (keyIn(request.headers, header) !== null) return request;
  const headers = new Headers(request.headers);
  headers.set(header, quoted ? `"${key.replace(/["\\]/g, "\\$&")}"` : key);
  return { ...request, headers };
}

// src/identity.ts
var calls = 0;
async function identify(request, user, name, ownKey) {
  const { method, headers } = request;
  const page = typeof document !== "undefined";
  const credentials = page ? [] : ["authorization", "cookie"].map((header) => headers.get(header) ?? "");
  const own = ownKey === void 0 ? "" : `=${ownKey}`;
  const said = [user, method, request.url.split("#", 1)[0], headers.get("content-type") ?? "", request.body ?? "", own, ...credentials];
  const fingerprint = `sha256:${await digestOf("tower-idempotency operation v2", said)}`;
  const named = name !== void 0;
  const label = name ?? fingerprint;
  const shared = named || page;
  return { id: shared ? idOf(named, user, label) : `${++calls}`, label, named, fingerprint, shared };
}
function idOf(named, user, label) {
  return `${named ? "named" : "request"}:${user.length}:${user}:${label}`;
}
function labelIn(id, named, user) {
  const prefix = idOf(named, user, "");
  return id.startsWith(prefix) ? id.slice(prefix.length) : void 0;
}

// src/budget.ts
function retryBudget(perSecond = 10) {
  const most = perSecond * 10;
  let left = most;
  let filledAt = performance.now();
  return {
    withdraw() {
      const before = filledAt;
      filledAt = performance.now();
      left = Math.min(left + (filledAt - before) / 1e3 * perSecond, most);
      return left >= 1 && !!left--;
    }
  };
}

// src/network.ts
function isNetworkError(error) {
  const { name, message, code, cause } = Object(error);
  const { code: why, message: said } = Object(cause);
  return CODES.test(String(code)) || name === "TypeError" && MESSAGES.test(message) && !PERMANENT.test(`${why} ${said}`);
}
var MESSAGES = /^(fetch failed|failed to fetch|load failed|(a )?network|the (network|internet) connection|error sending request)/i;
var CODES = /^(Connection|FailedToOpen|E(CONN|TIMEDOUT|PIPE|NOTFOUND|AI_AGAIN))/;
var PERMANENT = /bad port|scheme|redirect|CERT|ALTNAME|UNABLE_TO|ERR_INVALID/i;

// src/storage/types.ts
function storageOver(records) {
  const has = (record, key) => record?.key === key;
  return {
    putIfAbsent: async (record) => await records.update(record.operation, (before) => before ?? record),
    mark: async (operation, key, fields) => has(await records.update(operation, (before) => has(before, key) ? { ...before, ...fields } : before), key),
    remove: async (operation, key, unlessShared) => !has(await records.update(operation, (before) => has(before, key) && !(unlessShared && before.shared) ? void 0 : before), key),
    list: async () => (await records.list()).filter(isKeyRecord)
  };
}
function changed(found, operation, change, put, remove) {
  const before = found === void 0 ? found : recordOf(operation, found);
  const after = change(before);
  if (after !== before) after ? put(after) : remove();
  return after;
}
function isKey(value) {
  return typeof value === "string" && /^[!-~]{1,255}$/.test(value);
}
function isKeyRecord(value) {
  const { operation, key, createdAt, settledAt = 0 } = value ?? {};
  return typeof operation === "string" && isKey(key) && Number.isFinite(createdAt) && Number.isFinite(settledAt);
}
function recordOf(operation, given) {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("not a record of the storage");
}

// src/storage/indexed-db.ts
function indexedDbStorage(name) {
  return storageOver(indexedDbRecords(name));
}
function indexedDbRecords(name = "tower-idempotency") {
  let connection;
  const database = () => {
    if (connection) return connection;
    const gone = () => void (connection === opening && (connection = void 0));
    const late = setTimeout(gone, LONGEST_OPEN);
    const opening = new Promise((resolve, reject) => {
      const request = globalThis.indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "operation" });
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const { result } = request;
        clearTimeout(late);
        result.onversionchange = () => {
          result.close();
          gone();
        };
        result.onclose = gone;
        resolve(result);
      };
    });
    opening.catch(gone);
    return connection = opening;
  };
  const once = async (step, use) => {
    const transaction = (await database()).transaction(STORE, "readwrite", { durability: "strict" });
    return new Promise((resolve, reject) => {
      let result;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
      const keys = transaction.objectStore(STORE);
      const reading = step(keys);
      reading.onsuccess = () => result = use(reading.result, keys);
    });
  };
  const run = (step, use) => once(step, use).catch(() => {
    connection?.then((old) => old.close(), () => {
    });
    connection = void 0;
    return once(step, use);
  });
  return {
    open: database,
    update: (operation, change) => run(
      (keys) => keys.get(operation),
      (found, keys) => changed(found, operation, change, (record) => keys.put(record), () => keys.delete(operation))
    ),
    list: () => run((keys) => keys.getAll(), (found) => found)
  };
}
var STORE = "keys";
var LONGEST_OPEN = 2e3;

// src/storage/memory.ts
function memoryStorage() {
  return storageOver(memoryRecords());
}
function memoryRecords() {
  const records = /* @__PURE__ */ new Map();
  return {
    update: async (operation, change) => changed(records.get(operation), operation, change, (record) => records.set(operation, record), () => records.delete(operation)),
    list: async () => [...records.values()]
  };
}

// src/storage/default.ts
function defaultStorage() {
  const [indexedDb, memory] = [indexedDbRecords(), memoryRecords()];
  let chosen;
  const records = async () => {
    if (chosen) return chosen;
    const found = globalThis.indexedDB && await indexedDb.open().catch(unlessForbidden) ? indexedDb : memory;
    return chosen ??= found;
  };
  return storageOver({
    update: async (operation, change) => (await records()).update(operation, change),
    list: async () => (await records()).list()
  });
}
function unlessForbidden(error) {
  if (!/^(Security|InvalidState|NotSupported)Error$/.test(error.name)) throw error;
}

// src/options.ts
function clientSettings(options = {}) {
  const settings = { ...DEFAULTS, profile: "default", retryIf: isNetworkError, ...set(options) };
  const { profile } = settings;
  if (!NOT_STORED[profile]) throw new RangeError("unknown profile");
  return {
    budget: retryBudget(),
    storage: defaultStorage(),
    header: `${profile === "default" ? "X-" : ""}Idempotency-Key`,
    methods: profile === "stripe" ? ["POST"] : ["POST", "PATCH"],
    ...settings,
    quoted: profile === "ietf",
    user: () => (typeof options.user === "function" ? options.user() : options.user) ?? "",
    // Called as a plain function, because the `fetch` of a browser cannot be a method of an object.
    fetch: (input, init) => (settings.fetch ?? fetch)(input, init),
    clock: { ...systemClock, ...options.clock },
    call: (init) => ({ ...settings, ...set(init), operation: init.operation, key: init.key })
  };
}
var DEFAULTS = {
  attemptTimeout: 1e4,
  totalTimeout: 6e4,
  maxAttempts: Infinity,
  maxRetryAfter: 3e4,
  baseDelay: 100,
  maxDelay: 5e3,
  linger: 0,
  retention: 864e5,
  maxRequest: 1048576
};
function set(options) {
  return Object.fromEntries(
    Object.entries(options).filter(([name, value]) => {
      if (name in DEFAULTS && value !== void 0 && !(typeof value === "number" && value >= 0)) throw new RangeError(`${name} must be 0 or more`);
      return value !== void 0;
    })
  );
}

// src/errors.ts
var IdempotencyError = class extends Error {
  constructor(message, fields) {
    super(message);
    Object.assign(this, fields);
  }
};
var OutcomeUnknownError = class extends IdempotencyError {
  name = "OutcomeUnknownError";
};
var KeyExpiredError = class extends IdempotencyError {
  name = "KeyExpiredError";
};
var KeyStorageError = class extends IdempotencyError {
  name = "KeyStorageError";
};
var KeyNotUnderstoodError = class extends IdempotencyError {
  name = "KeyNotUnderstoodError";
};
var RequestTooLargeError = class extends IdempotencyError {
  name = "RequestTooLargeError";
};
var OperationMismatchError = class extends IdempotencyError {
  name = "OperationMismatchError";
};

// src/events.ts
function tell(hook, event) {
  try {
    Promise.resolve(hook?.(event)).catch(() => {
    });
  } catch {
  }
}

// src/flight.ts
var Flight = class {
  constructor(identity, onEnd) {
    this.identity = identity;
    this.onEnd = onEnd;
  }
  identity;
  onEnd;
  #callers = /* @__PURE__ */ new Set();
  #stop = new AbortController();
  #ended;
  #waiting = 0;
  /** Aborted when no caller waits. */
  signal = this.#stop.signal;
  /** Whether the response is final. If so, an abort must not lose it together with its key. */
  isFinal = false;
  known;
  attempts = 0;
  /** The status of the operation's response: see {@link Outcome}. */
  status;
  /** Begins the operation with its first caller. */
  begin(run, signal, hook) {
    this.#ended = Promise.resolve().then(run);
    this.#ended.catch(this.onEnd);
    return this.join(signal, hook);
  }
  /** Adds a caller. It gets its own response, or leaves when its signal is aborted. */
  async join(signal, hook) {
    const caller = { hook };
    const leave = () => {
      this.#callers.delete(caller);
      if (this.#callers.size) return;
      this.#stop.abort(signal?.reason);
      this.onEnd();
    };
    this.#callers.add(caller);
    this.#waiting++;
    try {
      const [reply, outcome] = await until(signal, () => this.#ended).catch((error) => {
        if (this.isFinal) return this.#ended;
        throw error;
      });
      if (!reply.bytes) signal?.addEventListener("abort", leave, { once: true });
      return responseFor(reply, outcome, !--this.#waiting);
    } catch (error) {
      this.#waiting--;
      leave();
      throw note(error, this.outcome());
    }
  }
  /** Sends an event to all callers. */
  tell(event) {
    for (const { hook } of this.#callers) tell(hook, { ...this.about, ...event });
  }
  /** The fields that all events and errors have. */
  get about() {
    return { operation: this.identity.label, key: this.known?.record.key };
  }
  outcome(disposition = "unknown", replayed = false) {
    const { known, attempts, status, identity: { named } } = this;
    return { ...this.about, disposition, status, inDoubt: disposition !== "final" && known?.inDoubt !== false, named, attempts, replayed };
  }
};

// src/keys.ts
function newKey(operation, { clock, retention }, key = crypto.randomUUID()) {
  return { record: { operation, key, createdAt: clock.now(), retention }, inDoubt: false, final: false };
}
function resumed(record) {
  return { record, inDoubt: true, final: record.settledAt !== void 0 };
}
function isOver({ record, final }, named, { clock, retention }) {
  return (final || !named) && clock.now() - record.createdAt >= (record.retention ?? retention);
}
function staleness({ createdAt }, { clock, retention }) {
  const age = clock.now() - createdAt;
  return age >= retention ? "retention" : age < -CLOCK_SLACK ? "clock" : void 0;
}
function expired(operation, record, reason) {
  const createdAt = new Date(record.createdAt);
  const why = reason === "clock" ? "ahead of this clock" : "longer ago than `retention`";
  return new KeyExpiredError(`the stored key is dated ${createdAt.toISOString()}, ${why}`, { operation, key: record.key, createdAt, reason });
}
var CLOCK_SLACK = 5 * 6e4;

// src/backoff.ts
function waitBefore(retry2, { baseDelay, maxDelay, maxRetryAfter }, clock, asked = 0) {
  const random = clock.random();
  const backoff = random * Math.min(maxDelay, baseDelay * 2 ** Math.min(retry2 - 1, 30));
  return Math.max(backoff, asked > 0 ? Math.min(asked, maxRetryAfter) + random * Math.min(baseDelay, maxDelay) : 0);
}

// src/retry-after.ts
function retryAfter(headers, now) {
  const asked = headers.get("retry-after")?.trim() ?? "";
  const date = (text) => Date.parse(text ?? "");
  return /^\d+$/.test(asked) ? Number(asked) * 1e3 : Math.max(0, date(asked) - (date(headers.get("date")) || now)) || 0;
}

// src/retry.ts
async function retry(request, client, call, flight, known, deadline) {
  const { clock, budget, profile } = client;
  const { signal } = flight;
  let cause;
  const unknown = (reason) => {
    const { attempts } = flight;
    return new OutcomeUnknownError(`the outcome is unknown after ${attempts} attempts (${reason})`, { ...flight.about, attempts, reason, cause });
  };
  for (; ; ) {
    const stale = staleness(known.record, client);
    if (stale) throw flight.attempts ? unknown("retention") : expired(flight.identity.label, known.record, stale);
    const attempt2 = ++flight.attempts;
    flight.tell({ type: "attempt", attempt: attempt2 });
    const end = await attempt(request, client, call, deadline, signal);
    const reply = "reply" in end ? end.reply : void 0;
    if (!reply || signal.aborted) known.inDoubt = true;
    signal.throwIfAborted();
    let reason = "no-response";
    let asked = 0;
    if ("error" in end) {
      cause = end.error;
      flight.tell({ type: "error", attempt: attempt2, error: cause });
      if (!end.again) throw cause;
    } else {
      cause = void 0;
      const { response, bytes } = end.reply;
      const { status, headers, redirected } = response;
      const judged = { status, headers, redirected, inDoubt: known.inDoubt, profile };
      const problem = problemOf(judged, bytes);
      const disposition = judge(judged, problem);
      flight.status = problem?.code === NOT_RETAINED ? problem.original_status : status;
      flight.tell({ type: "response", attempt: attempt2, status, disposition, replayed: isReplay(response) });
      if (disposition === "final") known.inDoubt = judge({ ...judged, inDoubt: true }, problem) === "final";
      else if (beginsDoubt(judged)) known.inDoubt = true;
      if (disposition === "unknown" && status < 500) throwIfNotUnderstood(problem?.code, status);
      asked = retryAfter(headers, clock.now());
      if (disposition !== "retry" || asked > deadline - clock.elapsed()) return [end.reply, disposition];
      reason = status === 409 ? "in-flight" : "status";
    }
    const delay = waitBefore(attempt2, call, clock, asked);
    const bound = attempt2 >= call.maxAttempts ? "max-attempts" : clock.elapsed() + delay >= deadline ? "total-timeout" : budget && !budget.withdraw() ? "budget" : void 0;
    if (bound && reply) return [reply, "retry"];
    if (bound) throw unknown(bound);
    flight.tell({ type: "retry", attempt: attempt2 + 1, delay, reason });
    if (!reply?.bytes) reply?.response.body?.cancel().catch(() => {
    });
    await clock.sleep(delay, signal);
  }
  function throwIfNotUnderstood(code, status) {
    const { header, quoted } = client;
    if (!/^idempotency_key_(missing|invalid)$/.test(code)) return;
    const message = `the server did not understand the key, sent ${quoted ? "in quotes" : "bare"} as ${header} (${code}): set its profile`;
    throw new KeyNotUnderstoodError(message, { ...flight.about, header, quoted, status, code });
  }
}

// src/storage/ask.ts
async function ask(step, patience) {
  const asked = [];
  for (let number = 1; ; number++) {
    const left = patience ? patience.deadline - patience.clock.elapsed() : LONGEST;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new DOMException("the storage took too long", "TimeoutError")), Math.min(LONGEST, left));
    });
    asked.push((async () => step())());
    try {
      return await Promise.race([late, Promise.any(asked)]);
    } catch (caught) {
      const error = caught.errors?.at(-1) ?? caught;
      if (!patience) throw error;
      const { clock, call, deadline, signal, waiting } = patience;
      const delay = waitBefore(number, call, clock);
      signal.throwIfAborted();
      if (clock.elapsed() + delay >= deadline) throw error;
      waiting(error, delay);
      await clock.sleep(delay, signal);
    } finally {
      clearTimeout(timer);
    }
  }
}
var LONGEST = 2e3;

// src/operations.ts
function operationsOf(client) {
  const { storage, clock, user, maxRequest } = client;
  const flights = /* @__PURE__ */ new Map();
  const allKnown = /* @__PURE__ */ new Map();
  let lastSweep = -Infinity;
  const end = (flight) => {
    if (flights.get(flight.identity.id) === flight) flights.delete(flight.identity.id);
  };
  const list = async () => Array.from(await storage.list()).filter(isKeyRecord);
  const serving = (operation, step) => ask(step).catch((cause) => {
    throw storageError(operation, cause);
  });
  const gone = /* @__PURE__ */ new Set();
  const remove = ({ operation, key }, unlessShared = false) => {
    if (!unlessShared) gone.add(key);
    return ask(() => storage.remove(operation, key, unlessShared)).then(() => (gone.delete(key), true), () => false);
  };
  const isUsable = (known, named) => !gone.has(known.record.key) && !isOver(known, named, client);
  const knownOf = (record) => {
    const known = allKnown.get(record.operation);
    return known?.record.key === record.key ? known : resumed(record);
  };
  const load = async (flight, call, deadline) => {
    const { signal, identity: { id, label: operation, named } } = flight;
    const waiting = (error, delay) => flight.tell({ type: "storage-waiting", delay, error });
    const patience = named && !client.riskSecondEffectWithoutStorage ? { clock, call, deadline, signal, waiting } : void 0;
    const before = allKnown.get(id);
    const mine = before && isUsable(before, named) ? before : void 0;
    const fresh = mine && !mine.final ? mine : newKey(id, client);
    if (!named) allKnown.set(id, fresh);
    try {
      for (let tries = 0; tries < 5; tries++) {
        const record = await ask(async () => recordOf(id, await storage.putIfAbsent(fresh.record)), patience);
        if (record.key === fresh.record.key) return fresh;
        const known = knownOf(record);
        if (!isUsable(known, named)) await remove(record);
        else if (fresh.inDoubt && !named) return fresh;
        else if (known === before || await ask(() => storage.mark(id, record.key, { shared: true })).catch(() => true)) return known;
      }
      throw new Error("an old key stays");
    } catch (error) {
      signal.throwIfAborted();
      if (patience) throw storageError(operation, error);
      flight.tell({ type: "storage-unavailable", error });
      return mine ?? fresh;
    }
  };
  const drop = async (named, label, onlyFinal) => {
    const id = idOf(named, user(), label);
    const record = (await serving(label, list)).find(({ operation }) => operation === id);
    const known = record ? knownOf(record) : allKnown.get(id);
    if (onlyFinal && (!known?.final || flights.has(id))) return false;
    if (record && !await serving(label, () => storage.remove(id, record.key, onlyFinal && !known.inDoubt))) return false;
    for (const [at, { record: record2 }] of allKnown) if (record2.operation === id) allKnown.delete(at);
    if (flights.get(id)?.isFinal) flights.delete(id);
    return true;
  };
  const run = async (flight, request, ownKey, call) => {
    const { id, named, shared } = flight.identity;
    const deadline = clock.elapsed() + call.totalTimeout;
    const length = request.body?.byteLength ?? 0;
    if (length > maxRequest) throw new RequestTooLargeError("the body is longer than maxRequest", { ...flight.about, length, limit: maxRequest });
    const stored = shared && ownKey === void 0;
    const at = ownKey === void 0 ? id : `=${ownKey}`;
    const known = stored ? await load(flight, call, deadline) : allKnown.get(at) ?? { ...newKey(id, client, ownKey), inDoubt: !!ownKey };
    flight.signal.throwIfAborted();
    const { record, record: { key } } = known;
    known.final = false;
    flight.known = known;
    if (stored || ownKey !== void 0) allKnown.set(at, known);
    const [reply, disposition] = await retry(withKey(request, client, key), client, call, flight, known, deadline);
    const isFinal = disposition === "final";
    if (isFinal) {
      known.final = flight.isFinal = true;
      if (!named && stored && !await remove(record, !known.inDoubt) && !known.inDoubt) known.final = false;
      else if (!named || !stored) allKnown.delete(at);
      else if (known.inDoubt) await ask(() => storage.mark(id, key, { settledAt: clock.now() })).catch(ignore);
      flight.tell({ type: "settled" });
    }
    if (isFinal && !named && shared && reply.bytes && call.linger) later(call.linger, () => end(flight));
    else end(flight);
    return [reply, flight.outcome(disposition, isReplay(reply.response))];
  };
  const sweepNowAndThen = async () => {
    if (clock.elapsed() - lastSweep < SWEEP_INTERVAL) return;
    lastSweep = clock.elapsed();
    const isStale = (known) => !isUsable(known, known.record.operation.startsWith("named"));
    for (const record of await list()) if (isStale(knownOf(record))) await remove(record);
    for (const [at, known] of allKnown) if (isStale(known)) allKnown.delete(at);
  };
  return {
    async perform(request, identity, ownKey, call, signal) {
      const { id, label: operation } = identity;
      const before = flights.get(id);
      if (before?.identity.fingerprint === identity.fingerprint) {
        tell(call.onProgress, { type: "joined", operation });
        return before.join(signal, call.onProgress);
      }
      const flight = new Flight(identity, () => end(flight));
      if (before) throw note(new OperationMismatchError("another request is in flight under the same name", { operation }), flight.outcome());
      flights.set(id, flight);
      const response = flight.begin(() => run(flight, request, ownKey, call), signal, call.onProgress);
      sweepNowAndThen().catch(ignore);
      return response;
    },
    async pending() {
      const stored = await serving(void 0, list);
      const left = stored.filter(({ key }) => !gone.has(key)).map(knownOf);
      const all = new Map([...allKnown.values(), ...left].map((known) => [known.record.operation, known]));
      return [...all.values()].flatMap(
        ({ record, final }) => [true, false].flatMap((named) => {
          const operation = labelIn(record.operation, named, user());
          return operation === void 0 || final ? [] : [{ operation, named, key: record.key, createdAt: new Date(record.createdAt) }];
        })
      );
    },
    finish: (name) => drop(true, name, true),
    async forget(label) {
      for (const named of [true, false]) await drop(named, label, false);
    }
  };
}
function storageError(operation, cause) {
  return new KeyStorageError("the storage of keys failed", { operation, cause });
}
function ignore() {
}
var SWEEP_INTERVAL = 6e5;
function later(milliseconds, step) {
  const timer = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  timer.unref?.();
}

// src/fetch.ts
function createIdempotentFetch(defaults = {}) {
  const client = clientSettings(defaults);
  const operations = operationsOf(client);
  const call = async (input, init = {}) => {
    const from = requestIn(input);
    const headers = new Headers(init.headers ?? from?.headers);
    if (init.headers) init = { ...init, headers };
    const given = keyIn(headers, client.header);
    const method = (init.method ?? from?.method ?? "GET").toUpperCase();
    if (given === null && !client.methods.some((one) => one.toUpperCase() === method)) {
      if (init.operation === void 0 || /GET|HEAD|OPTIONS/.test(method)) return client.fetch(input, init);
      throw new TypeError(`${method} gets no key: add it to methods`);
    }
    if (given === "") throw new TypeError(NOT_A_KEY);
    if (!globalThis.crypto?.subtle) throw new Error("idempotency keys need a secure context (https or localhost)");
    const signal = (init.signal === void 0 ? from?.signal : init.signal) ?? void 0;
    signal?.throwIfAborted();
    const settings = client.call(init);
    const user = client.user();
    const read = take(input, init);
    const late = AbortSignal.timeout(Math.min(settings.totalTimeout, LONGEST_TIMER));
    const { request, identity, ownKey } = await until(late, () => until(signal, async () => {
      const ownKey2 = given ?? await keyOf(settings);
      const request2 = await read();
      return { request: request2, ownKey: ownKey2, identity: await identify(request2, user, settings.operation, ownKey2) };
    }));
    signal?.throwIfAborted();
    return operations.perform(request, identity, ownKey, settings, signal);
  };
  const { pending, finish, forget } = operations;
  const named = (name, options) => (input, init) => call(input, { ...options, ...init, operation: name });
  return Object.assign(call, { named, pending, finish, forget });
}
var idempotentFetch = createIdempotentFetch();
async function keyOf({ key }) {
  const made = typeof key === "function" ? await key() : key;
  if (made !== void 0 && !isKey(made)) throw new TypeError(NOT_A_KEY);
  return made;
}
var NOT_A_KEY = "a key is 1 to 255 visible ASCII characters";
export {
  IdempotencyError,
  KeyExpiredError,
  KeyNotUnderstoodError,
  KeyStorageError,
  OperationMismatchError,
  OutcomeUnknownError,
  RequestTooLargeError,
  createIdempotentFetch,
  defaultStorage,
  dispositionOf,
  idempotentFetch,
  indexedDbStorage,
  isNetworkError,
  isReplay,
  memoryStorage,
  outcomeOf,
  retryBudget
};
