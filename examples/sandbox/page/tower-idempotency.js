// tower-idempotency for browsers, made from sdk/typescript by `npm run bundle`. Do not edit.

// src/disposition.ts
function dispositionOf({ status, headers, body, redirected, inDoubt, profile = "default" }) {
  if (redirected || status < 200 || NEVER_FINAL.includes(status)) return "unknown";
  const shouldRetry = ["x-should-retry", "stripe-should-retry"].map((name) => flag(headers, name));
  if (shouldRetry.includes(true)) return "retry";
  const never = shouldRetry.includes(false);
  const retry2 = never ? "unknown" : "retry";
  if (isReplay({ headers })) return status === 408 || status >= 500 ? "unknown" : "final";
  const temporary = TEMPORARY.includes(status) || status >= 520 && status <= 530;
  const code = problemCode(status, headers, body);
  if (code === "idempotency_key_in_flight") return retry2;
  if (code === "idempotency_result_not_retained") return "final";
  if (status < 500 && !temporary && (code === null || code?.startsWith("idempotency_"))) return "unknown";
  if (status === 409 && never) return "unknown";
  if (temporary || status === 409 && headers.get("retry-after") !== null) return retry2;
  if (status >= 500) return "unknown";
  if (status < 300) return "final";
  return inDoubt || NOT_STORED[profile].includes(status) ? "unknown" : "final";
}
function beginsDoubt(status, redirected) {
  return redirected || !NOT_STORED.default.includes(status);
}
function isReplay({ headers }) {
  return !!flag(headers, "x-idempotent-result") || !!flag(headers, "idempotent-replayed");
}
function mediaType(headers) {
  return headers.get("content-type")?.split(";")[0].trim().toLowerCase();
}
function problemCode(status, headers, body) {
  if (status < 400 || mediaType(headers) !== "application/problem+json") return void 0;
  if (body == null || body.length > LONGEST_PROBLEM || new TextEncoder().encode(body).byteLength > LONGEST_PROBLEM) return null;
  try {
    const code = JSON.parse(body)?.code;
    return typeof code === "string" ? code : void 0;
  } catch {
    return null;
  }
}
var NEVER_FINAL = [307, 308, 421];
var TEMPORARY = [408, 425, 429, 500, 502, 503, 504];
var NOT_STORED = {
  default: [307, 308, 400, 401, 403, 405, 406, 407, 411, 412, 413, 414, 415, 417, 421, 422, 423, 424, 425, 426, 428, 429, 431, 511],
  stripe: [400, 401, 429],
  ietf: []
};
var LONGEST_PROBLEM = 64 * 1024;
function flag(headers, name) {
  const values = headers.get(name)?.toLowerCase().split(",").map((one) => one.trim());
  if (values?.every((one) => one === "true")) return true;
  return values?.every((one) => one === "false") ? false : void 0;
}

// src/outcome.ts
function outcomeOf(result) {
  return search(result, 9);
}
var outcomes = /* @__PURE__ */ new WeakMap();
function note(result, outcome) {
  if (isObject(result)) outcomes.set(result, outcome);
  return result;
}
function search(result, depth) {
  if (!isObject(result) || depth === 0) return void 0;
  const { cause, response } = result;
  return outcomes.get(result) ?? search(cause, depth - 1) ?? search(response, depth - 1);
}
function isObject(value) {
  return typeof value === "object" && value !== null;
}

// src/digest.ts
async function digestOf(label, fields) {
  const parts = [utf8(`${label}\0`)];
  for (const field of fields) {
    const bytes = typeof field === "string" ? utf8(field) : field;
    parts.push(u64(BigInt(bytes.byteLength)), bytes);
  }
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", concat(parts))));
}
function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
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
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// src/reply.ts
var Reply = class {
  #response;
  /** `undefined`: handed on as it comes. */
  #bytes;
  #text;
  constructor(response, bytes) {
    this.#response = response;
    this.#bytes = bytes;
    this.#text = bytes && new TextDecoder().decode(bytes);
    if (bytes) this.#copy();
  }
  get status() {
    return this.#response.status;
  }
  get headers() {
    return this.#response.headers;
  }
  get redirected() {
    return this.#response.redirected;
  }
  get replayed() {
    return isReplay(this.#response);
  }
  /** Whether it can be given any number of times. */
  get isWhole() {
    return this.#bytes !== void 0;
  }
  /** The code of a problem document. */
  get code() {
    return problemCode(this.status, this.headers, this.#text) ?? void 0;
  }
  judge(inDoubt, profile) {
    const { status, headers, redirected } = this;
    return dispositionOf({ status, headers, redirected, body: this.#text, inDoubt, profile });
  }
  /** A response for each of so many callers. What is handed on as it comes can be asked for once. */
  responses(count, outcome) {
    return Array.from({ length: count }, (_, index) => note(this.#bytes ? this.#copy(outcome) : index < count - 1 ? this.#response.clone() : this.#response, outcome));
  }
  /** Releases a response that no caller gets. */
  drop() {
    if (!this.#bytes) this.#response.body?.cancel().catch(() => {
    });
  }
  #copy(outcome) {
    const { status, statusText, headers, url, redirected, type } = this.#response;
    const bodiless = status === 204 || status === 205 || status === 304;
    const copy = new Response(bodiless ? null : this.#bytes, { status, headers });
    const own = { statusText, url, redirected, type, clone: () => note(this.#copy(outcome), outcome) };
    for (const [name, value] of Object.entries(own)) Object.defineProperty(copy, name, { value });
    return copy;
  }
};
function isReadWhole({ status, headers }) {
  return status >= 200 && status <= 599 && mediaType(headers) !== "text/event-stream";
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
function isResponse(given) {
  const { status, headers, arrayBuffer } = given ?? {};
  return typeof status === "number" && typeof headers?.get === "function" && typeof arrayBuffer === "function";
}

// src/multipart.ts
async function withSteadyBoundary(body, type) {
  const boundary = /^multipart\/form-data;\s*boundary=("?)([^";\s]+)\1$/i.exec(type ?? "")?.[2];
  const parts = boundary === void 0 ? [] : split(body, utf8(`--${boundary}`));
  if (parts.length < 2) return { body, type };
  const steady = `tower-idempotency-${(await digestOf("tower-idempotency boundary v1", parts)).slice(0, 40)}`;
  const delimiter = utf8(`--${steady}`);
  const joined = parts.flatMap((part, index) => index === 0 ? [part] : [delimiter, part]);
  return { body: concat(joined), type: `multipart/form-data; boundary=${steady}` };
}
function split(body, delimiter) {
  const parts = [];
  let begin = 0;
  for (let at = body.indexOf(DASH); at !== -1; at = body.indexOf(DASH, at + 1)) {
    const atLine = at === 0 || body[at - 2] === 13 && body[at - 1] === 10;
    if (!atLine || !delimiter.every((byte, index) => body[at + index] === byte)) continue;
    parts.push(body.subarray(begin, at));
    begin = at + delimiter.byteLength;
    at = begin - 1;
  }
  parts.push(body.subarray(begin));
  return parts;
}
var DASH = 45;

// src/request.ts
function take(input, init) {
  const given = input instanceof Request ? input : void 0;
  const formData = init.body == null ? given !== void 0 : init.body instanceof FormData;
  const request = new Request(input, { ...init, signal: null, duplex: "half" });
  if (request.mode === "no-cors") throw new TypeError("an idempotency key cannot be sent in the mode no-cors");
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
  const { cache, credentials, integrity, keepalive, mode, redirect, referrer, referrerPolicy } = request;
  const settings = { cache, credentials, integrity, keepalive, redirect, referrer, referrerPolicy };
  return mode === "navigate" ? settings : { ...settings, mode };
}

// src/attempt.ts
async function attempt(request, client, call, deadline, signal) {
  const { clock, fetch } = client;
  const connection = new AbortController();
  const done = new AbortController();
  const stop = () => connection.abort(signal.reason);
  const timeout = new DOMException("the attempt made no progress in time", "TimeoutError");
  let progress = clock.elapsed() + Math.floor((request.body?.byteLength ?? 0) / SLOWEST_UPLOAD);
  let broken = false;
  const watch = async () => {
    const left = () => Math.min(progress + call.attemptTimeout, deadline) - clock.elapsed();
    for (let wait = left(); wait > 0; wait = left()) await clock.sleep(wait, done.signal);
    connection.abort(timeout);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  watch().catch(() => {
  });
  try {
    const response = await until(connection.signal, () => send(request, fetch, connection.signal));
    if (!isResponse(response)) throw new TypeError("`fetch` resolved with something that is not a Response: it has no status, headers.get or arrayBuffer");
    if (response.type === "error") throw new TypeError("fetch failed");
    progress = clock.elapsed();
    if (!isReadWhole(response)) return { reply: new Reply(response, void 0) };
    broken = true;
    const bytes = await until(connection.signal, () => bytesOf(response, () => progress = clock.elapsed()));
    broken = false;
    signal.removeEventListener("abort", stop);
    return { reply: new Reply(response, bytes) };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error, lost: broken || error === timeout || call.retryIf(error) };
  } finally {
    done.abort();
  }
}
function until(signal, step) {
  if (!signal) return step();
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    step().then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
var SLOWEST_UPLOAD = 16.384;

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
function advice({ header, quoted }, code) {
  const standard = header.toLowerCase() === "idempotency-key";
  if (code.endsWith("missing")) return standard ? 'set `profile: "default"`' : 'set `profile: "ietf"` or `"stripe"`';
  return quoted ? 'set `profile: "stripe"` or `"default"`' : 'set `profile: "ietf"`';
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
function parseId(user, id) {
  for (const named of [true, false]) {
    const prefix = idOf(named, user, "");
    if (id.startsWith(prefix)) return { label: id.slice(prefix.length), named };
  }
  return void 0;
}

// src/budget.ts
var RetryBudget = class {
  #share;
  #reserve;
  #now;
  #seconds = /* @__PURE__ */ new Map();
  /**
   * @param options `share`: repeats per call, default 0.2. `perSecond`: repeats besides, per second, default 10.
   * `now`: milliseconds, for tests.
   *
   * @throws RangeError if one of them is negative or no number.
   */
  constructor(options = {}) {
    this.#share = options.share ?? 0.2;
    this.#reserve = (options.perSecond ?? 10) * WINDOW;
    if (!(this.#share >= 0 && this.#reserve >= 0)) throw new RangeError("a budget is made of numbers from 0 on");
    this.#now = options.now ?? (() => performance.now());
  }
  /** Notes a call, which earns its share of a repeat. */
  deposit() {
    this.#add(this.#share);
  }
  /** Takes one repeat. `false`: none is left for now. */
  withdraw() {
    const second = this.#second();
    let left = this.#reserve;
    for (const [at, amount] of this.#seconds) {
      if (at <= second - WINDOW) this.#seconds.delete(at);
      else left += amount;
    }
    if (left < 1 - 1e-9) return false;
    this.#add(-1);
    return true;
  }
  #add(amount) {
    const second = this.#second();
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + amount);
    if (this.#seconds.size > 2 * WINDOW) {
      for (const at of this.#seconds.keys()) if (at <= second - WINDOW) this.#seconds.delete(at);
    }
  }
  #second() {
    return Math.floor(this.#now() / 1e3);
  }
};
var WINDOW = 10;

// src/clock.ts
var systemClock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  random: () => Math.random(),
  sleep: (milliseconds, signal) => new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, Math.min(milliseconds, LONGEST_TIMER));
    signal.addEventListener("abort", stop, { once: true });
  })
};
var LONGEST_TIMER = 2 ** 31 - 1;
function clockFrom(given = {}) {
  const elapsed = given.elapsed ?? given.now ?? systemClock.elapsed;
  return { ...systemClock, ...given, elapsed };
}

// src/network.ts
function isNetworkError(error) {
  if (typeof error !== "object" || error === null) return false;
  const { name, message, code, cause } = error;
  if (typeof code === "string" && BUN.test(code)) return true;
  return name === "TypeError" && MESSAGES.test(String(message)) && !PERMANENT.test(`${cause?.code} ${cause?.message}`);
}
var MESSAGES = /^(fetch failed|failed to fetch|network ?(error|request failed|connection lost)|a network error|load failed|the (network|internet) connection|terminated|error sending request|(error reading|request or response) a? ?body)/i;
var BUN = /^(Connection(Refused|Closed|Reset)|FailedToOpenSocket|ECONN(RESET|REFUSED|ABORTED)|ETIMEDOUT|Timeout|EPIPE)$/;
var PERMANENT = /bad port|scheme|redirect|CERT|ALTNAME|UNABLE_TO|ERR_INVALID/i;

// src/storage/types.ts
function isKey(value) {
  return typeof value === "string" && /^[\x21-\x7e]{1,255}$/.test(value);
}
function isKeyRecord(value) {
  if (typeof value !== "object" || value === null) return false;
  const { operation, key, createdAt, settledAt } = value;
  const typed = typeof operation === "string" && isKey(key) && Number.isFinite(createdAt);
  return typed && (settledAt === void 0 || Number.isFinite(settledAt));
}
function recordOf(operation, given) {
  if (isKeyRecord(given) && given.operation === operation) return given;
  throw new TypeError("the storage gave something that is not a record of the operation");
}

// src/storage/indexed-db.ts
function indexedDbStorage(name = "tower-idempotency") {
  let connection;
  const database = () => {
    if (connection) return connection;
    const gone = () => void (connection === opening && (connection = void 0));
    const opening = open(name, gone);
    const late = setTimeout(gone, LONGEST_OPEN);
    opening.then(() => clearTimeout(late), gone);
    return connection = opening;
  };
  const once = async (mode, step, durability) => {
    const transaction = (await database()).transaction(STORE, mode, { durability });
    return new Promise((resolve, reject) => {
      let result;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException("the transaction was aborted", "AbortError"));
      step(transaction.objectStore(STORE), (value) => result = value);
    });
  };
  const run = (mode, step, durability = "default") => once(mode, step, durability).catch(() => {
    connection?.then((database2) => database2.close(), () => {
    });
    connection = void 0;
    return once(mode, step, durability);
  });
  const change = (operation, key, step) => run("readwrite", (keys) => {
    const reading = keys.get(operation);
    reading.onsuccess = () => {
      if (isKeyRecord(reading.result) && reading.result.key === key) step(keys, reading.result);
    };
  });
  return {
    /** Opens the database; rejects with the browser's error. */
    open: database,
    putIfAbsent: (record) => run(
      "readwrite",
      (keys, done) => {
        const reading = keys.get(record.operation);
        reading.onsuccess = () => {
          if (isKeyRecord(reading.result)) return done(reading.result);
          keys.put(record);
          done(record);
        };
      },
      // The request leaves next: the key must survive even a loss of power.
      "strict"
    ),
    get: (operation) => run("readonly", (keys, done) => {
      const reading = keys.get(operation);
      reading.onsuccess = () => done(isKeyRecord(reading.result) ? reading.result : void 0);
    }),
    settle: (operation, key, settledAt) => change(operation, key, (keys, record) => {
      if (record.settledAt === void 0) keys.put({ ...record, settledAt });
    }),
    remove: (operation, key) => change(operation, key, (keys) => keys.delete(operation)),
    list: () => run("readonly", (keys, done) => {
      const reading = keys.getAll();
      reading.onsuccess = () => done(reading.result.filter(isKeyRecord));
    })
  };
}
var STORE = "keys";
var LONGEST_OPEN = 2e3;
function open(name, onGone) {
  return new Promise((resolve, reject) => {
    const opening = globalThis.indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "operation" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      database.onversionchange = () => {
        database.close();
        onGone();
      };
      database.onclose = onGone;
      resolve(database);
    };
  });
}

// src/storage/local.ts
function localStorageStorage(prefix = "tower-idempotency:", items) {
  const store = () => items ?? globalThis.localStorage;
  const read = (operation) => {
    const record = parsed(store().getItem(prefix + operation));
    return record?.operation === operation ? record : void 0;
  };
  const write = (record) => store().setItem(prefix + record.operation, JSON.stringify(record));
  return {
    putIfAbsent: (record) => alone(prefix, () => {
      const kept = read(record.operation);
      if (!kept) write(record);
      return kept ?? record;
    }),
    get: async (operation) => read(operation),
    settle: (operation, key, settledAt) => alone(prefix, () => {
      const record = read(operation);
      if (record?.key === key && record.settledAt === void 0) write({ ...record, settledAt });
    }),
    remove: (operation, key) => alone(prefix, () => {
      if (read(operation)?.key === key) store().removeItem(prefix + operation);
    }),
    async list() {
      const all = store();
      const names = Array.from({ length: all.length }, (_, index) => all.key(index));
      return names.filter((name) => name?.startsWith(prefix)).flatMap((name) => parsed(all.getItem(name)) ?? []);
    }
  };
}
async function alone(name, step) {
  const locks = globalThis.navigator?.locks;
  return locks ? await locks.request(name, async () => step()) : step();
}
function parsed(text) {
  try {
    const value = text === null ? void 0 : JSON.parse(text);
    return isKeyRecord(value) ? value : void 0;
  } catch {
    return void 0;
  }
}

// src/storage/memory.ts
function memoryStorage() {
  const records = /* @__PURE__ */ new Map();
  const own = (operation, key) => {
    const record = records.get(operation);
    return record?.key === key ? record : void 0;
  };
  return {
    async putIfAbsent(record) {
      const kept = records.get(record.operation);
      if (kept) return { ...kept };
      records.set(record.operation, { ...record });
      return { ...record };
    },
    async get(operation) {
      const record = records.get(operation);
      return record && { ...record };
    },
    async settle(operation, key, settledAt) {
      const record = own(operation, key);
      if (record) record.settledAt ??= settledAt;
    },
    async remove(operation, key) {
      if (own(operation, key)) records.delete(operation);
    },
    async list() {
      return Array.from(records.values(), (record) => ({ ...record }));
    }
  };
}

// src/storage/default.ts
function defaultStorage() {
  const [indexedDb, local, memory] = [indexedDbStorage(), localStorageStorage(), memoryStorage()];
  let chosen;
  const choose = async () => {
    if (await exists(() => globalThis.indexedDB, indexedDb.open)) return indexedDb;
    if (typeof document !== "undefined" && await exists(() => globalThis.localStorage, () => local.get(""))) return local;
    return memory;
  };
  const storage = async () => {
    const found = chosen ?? await choose();
    return chosen ??= found;
  };
  return {
    putIfAbsent: async (record) => (await storage()).putIfAbsent(record),
    get: async (operation) => (await storage()).get(operation),
    settle: async (operation, key, settledAt) => (await storage()).settle(operation, key, settledAt),
    remove: async (operation, key) => (await storage()).remove(operation, key),
    list: async () => (await storage()).list()
  };
}
async function exists(look, read) {
  try {
    if (look() == null) return false;
    await read();
    return true;
  } catch (error) {
    if (["SecurityError", "InvalidStateError", "NotSupportedError"].includes(error?.name ?? "")) return false;
    throw error;
  }
}

// src/options.ts
function clientSettings(options = {}) {
  check(options);
  const { profile = "default", fetch: given, user } = options;
  const rules = PROFILES[profile];
  if (!rules) throw new RangeError("a profile is default, ietf or stripe");
  return {
    profile,
    header: options.header ?? rules.header,
    quoted: rules.quoted,
    methods: (options.methods ?? rules.methods).map((method) => method.toUpperCase()),
    storage: options.storage ?? defaultStorage(),
    user: () => (typeof user === "function" ? user() : user) ?? "",
    retention: options.retention ?? 24 * 60 * 60 * 1e3,
    budget: options.budget === void 0 ? new RetryBudget() : options.budget,
    // Called as a plain function: a browser's own `fetch` may not be a method of something else.
    fetch: (input, init) => (given ?? globalThis.fetch)(input, init),
    maxRequest: options.maxRequest ?? 1024 * 1024,
    risk: options.riskSecondEffectWithoutStorage ?? false,
    clock: clockFrom(options.clock),
    call: (init) => {
      check(init);
      const { operation, key } = init;
      return { ...CALL_DEFAULTS, ...set(options), ...set(init), operation, key };
    }
  };
}
var PROFILES = {
  default: { header: "X-Idempotency-Key", quoted: false, methods: ["POST", "PATCH"] },
  ietf: { header: "Idempotency-Key", quoted: true, methods: ["POST", "PATCH"] },
  stripe: { header: "Idempotency-Key", quoted: false, methods: ["POST"] }
};
var CALL_DEFAULTS = {
  attemptTimeout: 1e4,
  totalTimeout: 6e4,
  maxAttempts: Infinity,
  maxRetryAfter: 3e4,
  baseDelay: 100,
  maxDelay: 5e3,
  linger: 0,
  retryIf: isNetworkError
};
function check(options) {
  for (const [name, value] of Object.entries({ ...set(options), retention: options.retention ?? 0, maxRequest: options.maxRequest ?? 0 })) {
    const fits = name === "onProgress" || (name === "retryIf" ? typeof value === "function" : typeof value === "number" && value >= 0);
    if (!fits) throw new RangeError(`${name} is ${name === "retryIf" ? "a function" : "a number from 0 on"}`);
  }
}
function set(options) {
  const names = [...Object.keys(CALL_DEFAULTS), "onProgress"];
  return Object.fromEntries(names.filter((name) => options[name] !== void 0).map((name) => [name, options[name]]));
}

// src/errors.ts
var IdempotencyError = class extends Error {
  constructor(message, operation, key, cause) {
    super(message, cause === void 0 ? void 0 : { cause });
    this.operation = operation;
    this.key = key;
  }
  operation;
  key;
};
var OutcomeUnknownError = class extends IdempotencyError {
  constructor(operation, key, attempts, reason, cause) {
    super(`the outcome is unknown after ${attempts} attempts (${reason})`, operation, key, cause);
    this.key = key;
    this.attempts = attempts;
    this.reason = reason;
  }
  key;
  attempts;
  reason;
  name = "OutcomeUnknownError";
};
var KeyExpiredError = class extends IdempotencyError {
  constructor(operation, key, createdAt, reason) {
    const why = reason === "clock" ? "ahead of this clock" : "older than the server remembers keys";
    super(`the stored key is dated ${createdAt.toISOString()}, ${why}`, operation, key);
    this.key = key;
    this.createdAt = createdAt;
    this.reason = reason;
  }
  key;
  createdAt;
  reason;
  name = "KeyExpiredError";
};
var KeyStorageError = class extends IdempotencyError {
  name = "KeyStorageError";
  constructor(operation, cause) {
    super("the storage of keys does not work", operation, void 0, cause);
  }
};
var KeyNotUnderstoodError = class extends IdempotencyError {
  constructor(operation, key, header, quoted, response, advice2) {
    super(`the server did not understand the key, sent ${quoted ? "in quotes" : "bare"} as ${header} (${response.code}): ${advice2}`, operation, key);
    this.key = key;
    this.header = header;
    this.quoted = quoted;
    this.response = response;
  }
  key;
  header;
  quoted;
  response;
  name = "KeyNotUnderstoodError";
};
var RequestTooLargeError = class extends IdempotencyError {
  constructor(operation, length, limit) {
    super(`the body has ${length} bytes, more than maxRequest (${limit})`, operation, void 0);
    this.length = length;
    this.limit = limit;
  }
  length;
  limit;
  name = "RequestTooLargeError";
};
var OperationMismatchError = class extends IdempotencyError {
  name = "OperationMismatchError";
  constructor(operation) {
    super("another request (method, address, body or key) is in flight under the same name", operation, void 0);
  }
};

// src/events.ts
function tell(hook, event) {
  try {
    const result = hook?.(event);
    if (result) Promise.resolve(result).catch(() => {
    });
  } catch {
  }
}

// src/flight.ts
var Flight = class {
  constructor(identity, onDeserted) {
    this.identity = identity;
    this.onDeserted = onDeserted;
  }
  identity;
  onDeserted;
  #callers = /* @__PURE__ */ new Set();
  #stop = new AbortController();
  #end;
  key;
  attempts = 0;
  /** Aborted when no caller waits any more. */
  get signal() {
    return this.#stop.signal;
  }
  /** Whether the response is there. */
  get isOver() {
    return this.#end !== void 0;
  }
  /** Adds a caller, who gets a response of its own, or leaves when its signal is aborted. */
  join(signal, hook) {
    if (this.#end) return Promise.resolve(this.#end[0].responses(1, this.#end[1])[0]);
    return new Promise((resolve, reject) => {
      const leave = () => this.#leave(caller, signal?.reason);
      const caller = { resolve, reject, hook, unlisten: () => signal?.removeEventListener("abort", leave) };
      this.#callers.add(caller);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }
  /** Tells all callers what happens. */
  tell(event) {
    for (const caller of this.#callers) tell(caller.hook, event);
  }
  outcome(disposition = "unknown", replayed = false) {
    const { key, attempts, identity: { label: operation, named } } = this;
    return { disposition, key, operation, named, attempts, replayed };
  }
  /** Gives all callers the response, and those that come later too. */
  deliver(reply, disposition) {
    const outcome = this.outcome(disposition, reply.replayed);
    this.#end = [reply, outcome];
    const callers = [...this.#callers];
    const responses = reply.responses(callers.length, outcome);
    callers.forEach((caller, index) => caller.resolve(responses[index]));
    if (reply.isWhole) this.#dismiss();
  }
  /** Ends the flight for all callers without a response. */
  fail(reason) {
    note(reason, this.outcome());
    for (const caller of this.#callers) caller.reject(reason);
    this.#dismiss();
  }
  #leave(caller, reason) {
    caller.reject(note(reason, this.outcome()));
    if (!this.#callers.delete(caller) || this.#callers.size > 0) return;
    this.#stop.abort(reason);
    this.onDeserted(this);
  }
  #dismiss() {
    for (const caller of this.#callers) caller.unlisten();
    this.#callers.clear();
  }
};

// src/uuidv7.ts
function uuidv7(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const time = new DataView(new ArrayBuffer(8));
  time.setBigUint64(0, BigInt(Math.floor(now)) << 16n);
  bytes.set(new Uint8Array(time.buffer, 0, 6));
  bytes[6] = 112 | bytes[6] & 15;
  bytes[8] = 128 | bytes[8] & 63;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// src/keys.ts
async function loadKey(identity, client, linger, mine, put, remove) {
  const { id, named, label } = identity;
  const isOver = (record) => mine?.final && mine.record.key === record.key && !named || over(record, named, linger, client);
  const known = mine && !isOver({ ...mine.record, ...mine.final && { settledAt: client.clock.now() } }) ? mine : newKey(id, client);
  for (let tries = 0; tries < 5; tries++) {
    const stored = await put(known.record);
    if (stored.key === known.record.key) break;
    if (!isOver(stored)) {
      const stale = staleness(stored, client);
      if (stale) throw expiry(label, stored, stale);
      return { record: stored, inDoubt: true, final: false };
    }
    await remove(stored);
  }
  return known;
}
function newKey(operation, { clock }, key = uuidv7(clock.now())) {
  return { record: { operation, key, createdAt: clock.now() }, inDoubt: false, final: false };
}
function over(record, named, linger, client) {
  const expired = staleness(record, client) === "retention";
  if (record.settledAt === void 0 || named) return expired && !(named && record.settledAt === void 0);
  const age = client.clock.now() - record.settledAt;
  return expired || age >= linger || age < -CLOCK_SLACK;
}
function staleness({ createdAt }, { clock, retention }) {
  const age = clock.now() - createdAt;
  return age >= retention ? "retention" : age < -CLOCK_SLACK ? "clock" : void 0;
}
function expiry(operation, { key, createdAt }, reason) {
  return new KeyExpiredError(operation, key, new Date(createdAt), reason);
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
  const asked = headers.get("retry-after")?.trim();
  if (!asked) return void 0;
  if (/^[0-9]+$/.test(asked)) return Number(asked) * 1e3;
  const until2 = httpDate(asked);
  if (until2 === void 0) return void 0;
  const told = httpDate(headers.get("date")?.trim() ?? "");
  return Math.max(0, until2 - (told ?? now));
}
function httpDate(text) {
  const parts = (FIXDATE.exec(text) ?? RFC850.exec(text) ?? ASCTIME.exec(text))?.groups;
  if (!parts) return void 0;
  const month = MONTHS.indexOf(parts["month"]);
  const [day, hour, minute, second] = [parts["day"], parts["hour"], parts["minute"], parts["second"]].map(Number);
  let year = Number(parts["year"]);
  if (parts["year"].length === 2) year += year < 70 ? 2e3 : 1900;
  const date = new Date(Date.UTC(year, month, day, hour, minute, second));
  const real = date.getTime() >= 0 && DAYS[date.getUTCDay()] === text.slice(0, 3) && date.getUTCDate() === day && date.getUTCMonth() === month && hour < 24 && minute < 60 && second < 60;
  return real ? date.getTime() : void 0;
}
var DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
var MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
var MONTH = `(?<month>${MONTHS.join("|")})`;
var TIME = "(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)";
var FIXDATE = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`);
var RFC850 = new RegExp(`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT$`);
var ASCTIME = new RegExp(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`);

// src/retry.ts
async function retry(request, client, call, flight, known, deadline) {
  const { clock, budget, profile } = client;
  const { signal, identity: { label: operation } } = flight;
  const { key } = known.record;
  let cause;
  budget?.deposit();
  for (let number = 1; ; number++) {
    const stale = staleness(known.record, client);
    if (stale && number === 1) throw expiry(operation, known.record, stale);
    if (stale) throw new OutcomeUnknownError(operation, key, number - 1, "retention", cause);
    flight.attempts = number;
    flight.tell({ type: "attempt", operation, key, attempt: number });
    const end = await attempt(request, client, call, deadline, signal);
    if ("error" in end || signal.aborted) known.inDoubt = true;
    signal.throwIfAborted();
    let reason = "no-response";
    let asked = 0;
    if ("error" in end) {
      cause = end.error;
      flight.tell({ type: "error", operation, key, attempt: number, error: cause });
      if (!end.lost) throw cause;
    } else {
      const { reply } = end;
      const { status, headers, replayed, redirected, code } = reply;
      const disposition = reply.judge(known.inDoubt, profile);
      cause = void 0;
      flight.tell({ type: "response", operation, key, attempt: number, status, disposition, replayed });
      if (disposition !== "final" && beginsDoubt(status, redirected)) known.inDoubt = true;
      if (status < 500 && NOT_UNDERSTOOD.includes(code) && disposition === "unknown") {
        throw new KeyNotUnderstoodError(operation, key, client.header, client.quoted, { status, code }, advice(client, code));
      }
      asked = retryAfter(headers, clock.now()) ?? 0;
      if (disposition !== "retry" || asked > deadline - clock.elapsed()) return [reply, disposition];
      reason = status === 409 ? "in-flight" : "status";
    }
    const delay = waitBefore(number, call, clock, asked);
    const bound = giveUp(number, delay);
    if (bound && "reply" in end) return [end.reply, "retry"];
    if (bound) throw new OutcomeUnknownError(operation, key, number, bound, cause);
    flight.tell({ type: "retry", operation, key, attempt: number + 1, delay, reason });
    drop(end);
    await clock.sleep(delay, signal);
  }
  function giveUp(number, delay) {
    if (number >= call.maxAttempts) return "max-attempts";
    if (clock.elapsed() + delay >= deadline) return "total-timeout";
    return budget && !budget.withdraw() ? "budget" : void 0;
  }
}
function drop(end) {
  if ("reply" in end) end.reply.drop();
}
var NOT_UNDERSTOOD = ["idempotency_key_missing", "idempotency_key_invalid"];

// src/storage/within.ts
async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new DOMException("the storage took too long", "TimeoutError")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// src/storage/ask.ts
async function ask(step, patience) {
  const asked = [];
  for (let number = 1; ; number++) {
    asked.push(Promise.resolve().then(step));
    try {
      const left = patience ? patience.deadline - patience.clock.elapsed() : LONGEST;
      return await within(Math.min(left, LONGEST), Promise.any(asked));
    } catch (caught) {
      const error = caught instanceof AggregateError ? caught.errors.at(-1) : caught;
      const delay = patience && waitBefore(number, patience.call, patience.clock);
      patience?.signal.throwIfAborted();
      if (delay === void 0 || patience.clock.elapsed() + delay >= patience.deadline) throw error;
      patience.waiting(error, delay);
      await patience.clock.sleep(delay, patience.signal);
    }
  }
}
var LONGEST = 2e3;

// src/operations.ts
var Operations = class {
  constructor(client) {
    this.client = client;
  }
  client;
  #flights = /* @__PURE__ */ new Map();
  /** What this client knows about keys that it has used. Another tab may have removed them from the storage meanwhile. */
  #known = /* @__PURE__ */ new Map();
  #lastSweep = -Infinity;
  /** Has an operation done, or joins it if it is in flight or had its response a moment ago. */
  perform(request, identity, ownKey, call, signal) {
    const before = this.#flights.get(identity.id);
    if (before?.identity.fingerprint === identity.fingerprint) {
      tell(call.onProgress, { type: "joined", operation: identity.label });
      return before.join(signal, call.onProgress);
    }
    const flight = new Flight(identity, (deserted) => this.#end(deserted));
    const response = flight.join(signal, call.onProgress);
    if (before) {
      flight.fail(new OperationMismatchError(identity.label));
      return response;
    }
    this.#flights.set(identity.id, flight);
    this.#run(flight, request, ownKey, call).catch((error) => {
      this.#end(flight);
      flight.fail(error);
    });
    this.#sweepNowAndThen(call.linger);
    return response;
  }
  /** The operations of this client's user whose outcome is not certain. */
  async pending() {
    const { storage, user } = this.client;
    const records = new Map(Array.from(await serving(void 0, () => storage.list())).filter(isKeyRecord).map((record) => [record.operation, record]));
    for (const [id, { record, final }] of this.#known) if (!final && !records.has(id)) records.set(id, record);
    return [...records].flatMap(([id, { key, createdAt, settledAt }]) => {
      const of = settledAt === void 0 ? parseId(user(), id) : void 0;
      return of ? [{ operation: of.label, named: of.named, key, createdAt: new Date(createdAt) }] : [];
    });
  }
  /** Drops the key of a named operation if its outcome was final. */
  async finish(name) {
    const id = idOf(true, this.client.user(), name);
    const record = await this.#stored(id, name);
    const known = this.#known.get(id);
    const final = known && (!record || record.key === known.record.key) ? known.final : record?.settledAt !== void 0;
    if (!final || this.#flights.has(id)) return false;
    await this.#drop(id, name, record);
    return true;
  }
  /** Drops the key of an operation. */
  async forget(label) {
    for (const named of [true, false]) {
      const id = idOf(named, this.client.user(), label);
      const flight = this.#flights.get(id);
      if (flight?.isOver) this.#end(flight);
      await this.#drop(id, label, await this.#stored(id, label));
      for (const [at, { record }] of this.#known) if (record.operation === id) this.#known.delete(at);
    }
  }
  async #run(flight, request, ownKey, call) {
    const { client } = this;
    const { clock } = client;
    const { id, label: operation, named, shared } = flight.identity;
    const deadline = clock.elapsed() + call.totalTimeout;
    const length = request.body?.byteLength ?? 0;
    if (length > client.maxRequest) throw new RequestTooLargeError(operation, length, client.maxRequest);
    const stored = shared && ownKey === void 0;
    const at = ownKey === void 0 ? id : `=${ownKey}`;
    const before = this.#known.get(at);
    const known = stored ? await this.#load(flight, call, deadline, before) : before ?? newKey(id, client, ownKey);
    flight.signal.throwIfAborted();
    known.final = false;
    if (stored || ownKey !== void 0) this.#known.set(at, known);
    const { key } = known.record;
    flight.key = key;
    const [reply, disposition] = await retry(withKey(request, client, key), client, call, flight, known, deadline);
    const linger = named || !shared || !reply.isWhole || disposition !== "final" ? 0 : call.linger;
    if (disposition === "final") {
      known.final = true;
      known.inDoubt = true;
      if (!stored) this.#known.delete(at);
      else await this.#settle(known, named, linger);
      flight.tell({ type: "settled", operation, key });
    }
    if (linger > 0) later(linger, () => this.#end(flight));
    else this.#end(flight);
    flight.deliver(reply, disposition);
  }
  /** The key of an operation, which is stored when this resolves. Nothing has been sent yet, so that waiting for the storage costs little. */
  #load(flight, call, deadline, known) {
    const { client } = this;
    const { storage, clock } = client;
    const { identity, signal } = flight;
    const { label: operation, named } = identity;
    const waiting = (error, delay) => flight.tell({ type: "storage-waiting", operation, delay, error });
    const patience = named && !client.risk ? { clock, call, deadline, signal, waiting } : void 0;
    const put = async (record) => {
      try {
        return await ask(async () => recordOf(record.operation, await storage.putIfAbsent(record)), patience);
      } catch (error) {
        signal.throwIfAborted();
        if (patience) throw new KeyStorageError(operation, error);
        flight.tell({ type: "storage-unavailable", operation, error });
        return record;
      }
    };
    return loadKey(identity, client, call.linger, known, put, (record) => this.#remove(record));
  }
  /** Marks a key whose response is final; that of an unnamed operation is removed, now or a little later. */
  async #settle({ record }, named, linger) {
    const { storage, clock } = this.client;
    const { operation, key } = record;
    if (named || linger > 0) await ask(() => storage.settle(operation, key, clock.now())).catch(() => {
    });
    if (named) return;
    if (linger > 0) later(linger, () => void this.#remove(record));
    else await this.#remove(record);
  }
  /** Removes the key of an unnamed operation. Where that fails, this client still knows that the key has served. */
  async #remove({ operation, key }) {
    try {
      await ask(() => this.client.storage.remove(operation, key));
      if (this.#known.get(operation)?.record.key === key) this.#known.delete(operation);
    } catch {
    }
  }
  #stored(id, label) {
    return serving(label, async () => {
      const record = await this.client.storage.get(id);
      return record == null ? void 0 : recordOf(id, record);
    });
  }
  async #drop(id, label, record) {
    if (record) await serving(label, () => this.client.storage.remove(id, record.key));
    this.#known.delete(id);
  }
  #end(flight) {
    if (this.#flights.get(flight.identity.id) === flight) this.#flights.delete(flight.identity.id);
  }
  /** What is left behind goes away by and by, and no call waits for that. */
  #sweepNowAndThen(linger) {
    const { client } = this;
    const now = client.clock.elapsed();
    if (now - this.#lastSweep < SWEEP_INTERVAL) return;
    this.#lastSweep = now;
    for (const [at, { record }] of this.#known) if (!record.operation.startsWith("named:") && staleness(record, client)) this.#known.delete(at);
    const sweep = async () => {
      for (const record of await client.storage.list()) {
        const of = parseId(client.user(), record.operation);
        if (of && over(record, of.named, linger, client)) await client.storage.remove(record.operation, record.key);
      }
    };
    sweep().catch(() => {
    });
  }
};
async function serving(operation, step) {
  try {
    return await ask(step);
  } catch (error) {
    throw new KeyStorageError(operation, error);
  }
}
var SWEEP_INTERVAL = 10 * 60 * 1e3;
function later(milliseconds, step) {
  const timer = setTimeout(step, Math.min(milliseconds, LONGEST_TIMER));
  if (typeof timer === "object" && timer !== null && "unref" in timer) timer.unref();
}

// src/fetch.ts
function createIdempotentFetch(defaults = {}) {
  const client = clientSettings(defaults);
  const operations = new Operations(client);
  const call = async (input, init = {}) => {
    const given = keyIn(new Headers(init.headers ?? (input instanceof Request ? input.headers : void 0)), client.header);
    const method = init.method ?? (input instanceof Request ? input.method : "GET");
    if (given === null && !client.methods.includes(method.toUpperCase())) return client.fetch(input, init);
    if (given === "") throw new TypeError("the header for the idempotency key is empty");
    if (!globalThis.crypto?.subtle) throw new Error("idempotency keys need a secure context: load the page by https, or from localhost");
    const signal = (init.signal === void 0 && input instanceof Request ? input.signal : init.signal) ?? void 0;
    signal?.throwIfAborted();
    const settings = client.call(init);
    const user = client.user();
    const read = take(input, init);
    const { request, identity, ownKey } = await until(signal, async () => {
      const ownKey2 = given ?? await keyOf(settings);
      const request2 = await read();
      return { request: request2, ownKey: ownKey2, identity: await identify(request2, user, settings.operation, ownKey2) };
    });
    signal?.throwIfAborted();
    return operations.perform(request, identity, ownKey, settings, signal);
  };
  return Object.assign(call, {
    named: (name, options) => (input, init) => call(input, { ...options, ...init, operation: name }),
    pending: () => operations.pending(),
    finish: (name) => operations.finish(name),
    forget: (operation) => operations.forget(operation)
  });
}
var idempotentFetch = createIdempotentFetch();
async function keyOf({ key }) {
  const made = typeof key === "function" ? await key() : key;
  if (made !== void 0 && !isKey(made)) throw new TypeError("an idempotency key is from 1 to 255 visible ASCII characters");
  return made;
}

// src/derive.ts
async function derive(user, action, window, payload) {
  const content = payload instanceof ArrayBuffer ? new Uint8Array(payload) : payload;
  for (const text of [user, action, content]) {
    if (typeof text === "string" && /\p{Surrogate}/u.test(text)) throw new TypeError("the text is not well-formed Unicode");
  }
  return digestOf(LABEL, [utf8(user), utf8(action), windowBytes(window), content]);
}
var LABEL = "tower-idempotency derived key v1";
function windowBytes(window) {
  if (window === null) return new Uint8Array(16);
  const at = Number(window.at ?? Date.now());
  if (!Number.isSafeInteger(window.length) || window.length < 1) throw new RangeError("a window is whole milliseconds long, from 1 on");
  if (!Number.isFinite(at)) throw new RangeError("the moment of a window is not a number");
  const index = BigInt(Math.floor(Math.max(at, 0))) / BigInt(window.length);
  return concat([u64(BigInt(window.length)), u64(index)]);
}
export {
  IdempotencyError,
  KeyExpiredError,
  KeyNotUnderstoodError,
  KeyStorageError,
  OperationMismatchError,
  OutcomeUnknownError,
  RequestTooLargeError,
  RetryBudget,
  createIdempotentFetch,
  defaultStorage,
  derive,
  dispositionOf,
  idempotentFetch,
  indexedDbStorage,
  isNetworkError,
  isReplay,
  localStorageStorage,
  memoryStorage,
  outcomeOf,
  uuidv7
};
