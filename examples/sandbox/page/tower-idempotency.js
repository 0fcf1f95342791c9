// tower-idempotency for browsers, made from sdk/typescript by `npm run bundle`. Do not edit.

// src/conclude.ts
function conclude(status, headers, body) {
  const shouldRetry = flag(headers, "x-should-retry");
  if (shouldRetry === true) return "again";
  const replay = isReplayMarked(headers);
  if (status === 409) return conflict(headers, body, shouldRetry, replay);
  if (TEMPORARY.has(status) && shouldRetry === void 0 && !replay) return "again";
  if (TEMPORARY.has(status) || status >= 500 && status < 600) return "open";
  if (NOTHING_HAPPENED.has(status) && !replay) return "open";
  return "definitive";
}
function isReplay(response) {
  return isReplayMarked(response.headers);
}
function isReplayMarked(headers) {
  return flag(headers, "x-idempotent-result") === true || flag(headers, "idempotent-replayed") === true;
}
function isProblem(headers) {
  return mediaType(headers) === "application/problem+json";
}
function mediaType(headers) {
  return headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
}
var TEMPORARY = /* @__PURE__ */ new Set([425, 429, 500, 502, 503, 504]);
var NOTHING_HAPPENED = /* @__PURE__ */ new Set([400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431]);
var LONGEST_PROBLEM = 64 * 1024;
function conflict(headers, body, shouldRetry, replay) {
  if (replay) return "definitive";
  const code = codeOf(headers, body);
  switch (code) {
    case "idempotency_result_not_retained":
      return "definitive";
    case "idempotency_key_reused":
    case "idempotency_outcome_unknown":
    case "idempotency_attempt_failed":
      return "open";
  }
  if (shouldRetry === false) return "open";
  return code === "idempotency_key_in_flight" || headers.has("retry-after") ? "again" : "definitive";
}
function flag(headers, name) {
  const values = new Set(headers.get(name)?.toLowerCase().split(",").map((one) => one.trim()));
  const value = values.size === 1 ? [...values][0] : void 0;
  return value === "true" ? true : value === "false" ? false : void 0;
}
function codeOf(headers, body) {
  if (body === void 0 || body.length > LONGEST_PROBLEM || !isProblem(headers)) return void 0;
  if (new TextEncoder().encode(body).byteLength > LONGEST_PROBLEM) return void 0;
  try {
    const problem = JSON.parse(body);
    const code = typeof problem === "object" && problem !== null && "code" in problem ? problem.code : void 0;
    return typeof code === "string" ? code : void 0;
  } catch {
    return void 0;
  }
}

// src/answer.ts
var Answer = class _Answer {
  #response;
  /** `undefined`: handed on as it comes. */
  #bytes;
  conclusion;
  constructor(response, bytes) {
    this.#response = response;
    this.#bytes = bytes;
    const problem = bytes && bytes.byteLength <= LONGEST_PROBLEM && isProblem(response.headers);
    this.conclusion = conclude(response.status, response.headers, problem ? new TextDecoder().decode(bytes) : void 0);
  }
  /** Reads an answer: it counts when its body is there, unless it is a stream of events, or opaque. */
  static async read(response) {
    if (response.type === "error") throw new TypeError("the request failed");
    const whole = mediaType(response.headers) !== "text/event-stream" && response.status >= 200 && response.status <= 599;
    return new _Answer(response, whole ? new Uint8Array(await response.arrayBuffer()) : void 0);
  }
  get status() {
    return this.#response.status;
  }
  get headers() {
    return this.#response.headers;
  }
  get replayed() {
    return isReplayMarked(this.#response.headers);
  }
  /** Whether it can be given again and again. */
  get isWhole() {
    return this.#bytes !== void 0;
  }
  /** A response for each of so many callers. What is handed on as it comes can be asked for once. */
  responses(count) {
    if (this.#bytes) return Array.from({ length: count }, () => this.#copy());
    return Array.from({ length: count }, (_, index) => index === count - 1 ? this.#response : this.#response.clone());
  }
  /** Lets go of an answer that nobody gets. */
  drop() {
    if (!this.#bytes) this.#response.body?.cancel().catch(() => {
    });
  }
  #copy() {
    const { status, statusText, headers, url, redirected, type } = this.#response;
    const bodiless = status === 204 || status === 205 || status === 304;
    const copy = new Response(bodiless ? null : this.#bytes, { status, statusText, headers });
    const clone = { value: () => this.#copy() };
    return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected }, type: { value: type }, clone });
  }
};

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
  const given2 = input instanceof Request ? input : void 0;
  const formData = init.body == null ? given2 !== void 0 : init.body instanceof FormData;
  const request = new Request(input, { ...init, signal: null, duplex: "half" });
  if (request.mode === "no-cors") throw new TypeError("an idempotency key cannot be sent in the mode no-cors");
  const { method, url } = request;
  return async () => {
    const headers = new Headers(request.headers);
    const bytes = new Uint8Array(await request.arrayBuffer());
    const bodiless = method === "GET" || method === "HEAD" || bytes.byteLength === 0 && !headers.has("content-type");
    const { body, type } = await withSteadyBoundary(bytes, formData ? headers.get("content-type") : null);
    if (type !== null) headers.set("content-type", type);
    return { method, url, headers, body: bodiless ? null : body, rest: { ...given2 && settingsOf(given2), ...init } };
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
async function attempt(request, fetcher, limit, clock, signal) {
  const connection = new AbortController();
  const watch = new AbortController();
  const stop = () => connection.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  clock.sleep(limit, watch.signal).then(
    () => connection.abort(new DOMException("the attempt took too long", "TimeoutError")),
    () => {
    }
  );
  try {
    const answer = await until(connection.signal, async () => Answer.read(await send(request, fetcher, connection.signal)));
    if (answer.isWhole) signal.removeEventListener("abort", stop);
    return { answer };
  } catch (error) {
    signal.removeEventListener("abort", stop);
    return { error };
  } finally {
    watch.abort();
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

// src/key-header.ts
function keyIn(headers, header) {
  return headers.get(header) ?? headers.get("X-Idempotency-Key") ?? headers.get("Idempotency-Key");
}
function withKey(request, header, key) {
  if (keyIn(request.headers, header) !== null) return request;
  const headers = new Headers(request.headers);
  headers.set(header, key);
  return { ...request, headers };
}

// src/identity.ts
async function identify(request, scope, name, ownKey) {
  const { method, headers } = request;
  const url = request.url.split("#", 1)[0];
  const credentials = ["authorization", "cookie"].map((header) => headers.get(header) ?? "");
  const what = [method, url, headers.get("content-type") ?? "", request.body ?? "", ownKey === void 0 ? "" : `=${ownKey}`];
  const said = [...what, ...credentials];
  if (name !== void 0) {
    return { id: namedId(scope, name), label: name, named: true, fingerprint: await digestOf("tower-idempotency request v1", said) };
  }
  const label = `sha256:${await digestOf("tower-idempotency operation v1", [scope, ...said])}`;
  return { id: unnamedId(scope, label), label, named: false, fingerprint: label };
}
function namedId(scope, name) {
  return `named:${framed(scope)}${name}`;
}
function unnamedId(scope, label) {
  return `request:${framed(scope)}${label}`;
}
function parseId(scope, id) {
  for (const [prefix, named] of [[namedId(scope, ""), true], [unnamedId(scope, ""), false]]) {
    if (id.startsWith(prefix)) return { label: id.slice(prefix.length), named };
  }
  return void 0;
}
function framed(scope) {
  return `${scope.length}:${scope}:`;
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
function clockFrom(given2 = {}) {
  const elapsed = given2.elapsed ?? given2.now ?? systemClock.elapsed;
  return { ...systemClock, ...given2, elapsed };
}

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

// src/storage/indexed-db.ts
function indexedDbStorage(name = "tower-idempotency") {
  let connection;
  const database = () => {
    const opening = connection ??= open(name, () => connection = void 0);
    opening.catch(() => connection = void 0);
    return opening;
  };
  const begin = async (mode, durability) => {
    try {
      return (await database()).transaction(STORE, mode, { durability });
    } catch {
      connection = void 0;
      return (await database()).transaction(STORE, mode, { durability });
    }
  };
  const run = async (mode, step, durability = "default") => {
    const transaction = await begin(mode, durability);
    return new Promise((resolve, reject) => {
      let result;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new DOMException("the transaction was aborted", "AbortError"));
      step(transaction.objectStore(STORE), (value) => result = value);
    });
  };
  const change = (operation, key, step) => run("readwrite", (keys) => {
    const reading = keys.get(operation);
    reading.onsuccess = () => {
      if (isKeyRecord(reading.result) && reading.result.key === key) step(keys, reading.result);
    };
  });
  return {
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
      // The request leaves next: the key must outlive even a loss of power.
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
function open(name, onGone) {
  return new Promise((resolve, reject) => {
    const opening = globalThis.indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "operation" });
    opening.onerror = () => reject(opening.error);
    opening.onblocked = () => reject(new DOMException("another tab holds an older version open", "InvalidStateError"));
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

// src/storage/within.ts
async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new DOMException("the storage did not answer in time", "TimeoutError")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

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

// src/storage/default.ts
function defaultStorage() {
  let chosen;
  const storage = () => chosen ??= choose();
  return {
    putIfAbsent: async (record) => (await storage()).putIfAbsent(record),
    get: async (operation) => (await storage()).get(operation),
    settle: async (operation, key, settledAt) => (await storage()).settle(operation, key, settledAt),
    remove: async (operation, key) => (await storage()).remove(operation, key),
    list: async () => (await storage()).list()
  };
}
async function choose() {
  if (typeof globalThis.indexedDB !== "undefined") {
    const storage = indexedDbStorage();
    if (await works(storage, SLOW_START)) return storage;
  }
  if (typeof document !== "undefined") {
    const storage = localStorageStorage();
    if (await works(storage, QUICK_START)) return storage;
  }
  return memoryStorage();
}
var [SLOW_START, QUICK_START] = [1500, 300];
async function works(storage, limit) {
  const probe = { operation: "probe", key: uuidv7(), createdAt: Date.now() };
  try {
    await within(limit, storage.putIfAbsent(probe).then(() => storage.remove(probe.operation, probe.key)));
    return true;
  } catch {
    return false;
  }
}

// src/storage/resilient.ts
function resilient(storage) {
  const memory = memoryStorage();
  let trouble;
  const tried = async (real, fallback) => {
    if (!trouble) {
      try {
        return await within(LONGEST, real());
      } catch (error) {
        trouble ??= { error };
      }
    }
    return fallback();
  };
  const hint = async (real) => {
    if (trouble) new Promise((resolve) => resolve(real())).catch(() => {
    });
  };
  return {
    get trouble() {
      return trouble;
    },
    async putIfAbsent(record) {
      const kept = await tried(
        async () => recordOf(record.operation, await storage.putIfAbsent(record)),
        () => memory.putIfAbsent(record)
      );
      const known = await memory.get(kept.operation);
      if (known && known.key !== kept.key) await memory.remove(known.operation, known.key);
      await memory.putIfAbsent(kept);
      return kept;
    },
    get: (operation) => tried(
      async () => {
        const kept = await storage.get(operation);
        return kept == null ? void 0 : recordOf(operation, kept);
      },
      () => memory.get(operation)
    ),
    async settle(operation, key, settledAt) {
      await memory.settle(operation, key, settledAt);
      const real = () => storage.settle(operation, key, settledAt);
      await tried(real, () => hint(real));
    },
    async remove(operation, key) {
      await memory.remove(operation, key);
      const real = () => storage.remove(operation, key);
      await tried(real, () => hint(real));
    },
    list: () => tried(
      async () => Array.from(await storage.list()).filter(isKeyRecord),
      () => memory.list()
    )
  };
}
function recordOf(operation, given2) {
  if (isKeyRecord(given2) && given2.operation === operation) return given2;
  throw new TypeError("the storage gave something that is no record of the operation");
}
var LONGEST = 2e3;

// src/options.ts
function clientSettings(options = {}) {
  check(options);
  return {
    header: options.header ?? "X-Idempotency-Key",
    methods: new Set((options.methods ?? ["POST", "PATCH"]).map((method) => method.toUpperCase())),
    storage: resilient(options.storage ?? defaultStorage()),
    scope: options.scope ?? "",
    retention: options.retention ?? 24 * 60 * 60 * 1e3,
    budget: options.budget === void 0 ? new RetryBudget() : options.budget,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    clock: clockFrom(options.clock),
    call: (init) => {
      check(init);
      const linger = typeof document === "undefined" ? 0 : 1e3;
      return { ...CALL_DEFAULTS, linger, ...given(options), ...given(init), operation: init.operation, key: init.key };
    }
  };
}
var CALL_DEFAULTS = {
  attemptTimeout: 1e4,
  totalTimeout: 6e4,
  maxAttempts: Infinity,
  maxRetryAfter: 3e4,
  baseDelay: 100,
  maxDelay: 5e3
};
function check(options) {
  for (const name of [...Object.keys(CALL_DEFAULTS), "linger", "retention"]) {
    const value = options[name];
    if (value !== void 0 && !(typeof value === "number" && value >= 0)) throw new RangeError(`${name} is a number from 0 on`);
  }
}
function given(options) {
  const names = [...Object.keys(CALL_DEFAULTS), "linger", "onProgress"];
  return Object.fromEntries(names.flatMap((name) => options[name] === void 0 ? [] : [[name, options[name]]]));
}

// src/errors.ts
var OutcomeUnknownError = class extends Error {
  constructor(operation, key, attempts, reason, cause) {
    super(`the outcome of the operation is unknown after ${attempts} attempts (${reason})`, { cause });
    this.operation = operation;
    this.key = key;
    this.attempts = attempts;
    this.reason = reason;
  }
  operation;
  key;
  attempts;
  reason;
  name = "OutcomeUnknownError";
};
var KeyExpiredError = class extends Error {
  constructor(operation, key, createdAt) {
    super(`the key of the operation is from ${createdAt.toISOString()}, longer ago than servers remember`);
    this.operation = operation;
    this.key = key;
    this.createdAt = createdAt;
  }
  operation;
  key;
  createdAt;
  name = "KeyExpiredError";
};
var OperationMismatchError = class extends TypeError {
  constructor(operation) {
    super("another request (method, address, body or key) is in flight under the same name of an operation");
    this.operation = operation;
  }
  operation;
  name = "OperationMismatchError";
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
  #answer;
  /** Aborted when nobody waits any more. */
  get signal() {
    return this.#stop.signal;
  }
  /** Whether the answer is still to come. */
  get isUnderWay() {
    return this.#answer === void 0;
  }
  /** Adds a caller, who gets a response of its own, or leaves when its signal is aborted. */
  join(signal, hook) {
    if (this.#answer) return Promise.resolve(this.#answer.responses(1)[0]);
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
  /** Gives all callers the answer, and those that come later too. */
  deliver(answer) {
    this.#answer = answer;
    const callers = [...this.#callers];
    const responses = answer.responses(callers.length);
    callers.forEach((caller, index) => caller.resolve(responses[index]));
    if (answer.isWhole) this.#dismiss();
  }
  /** Ends the flight for all callers without an answer. */
  fail(reason) {
    for (const caller of this.#callers) caller.reject(reason);
    this.#dismiss();
  }
  #leave(caller, reason) {
    caller.reject(reason);
    if (!this.#callers.delete(caller) || this.#callers.size > 0) return;
    this.#stop.abort(reason);
    this.onDeserted(this);
  }
  #dismiss() {
    for (const caller of this.#callers) caller.unlisten();
    this.#callers.clear();
  }
};

// src/keys.ts
async function keyFor(identity, client, linger, unsure) {
  const { storage, clock, retention } = client;
  const now = clock.now();
  const mine = unsure && !isExpired(unsure, retention, clock) ? unsure : void 0;
  if (unsure && !mine && identity.named) throw expiry(identity, unsure);
  const fresh = mine ?? { operation: identity.id, key: uuidv7(now), createdAt: now };
  for (let tries = 0; tries < 5; tries++) {
    const kept = await storage.putIfAbsent(fresh);
    if (kept.key === fresh.key) break;
    const expired = isExpired(kept, retention, clock);
    if (!isSpent(kept, linger, clock)) {
      if (!expired) return kept;
      if (identity.named) throw expiry(identity, kept);
    }
    await storage.remove(kept.operation, kept.key);
  }
  return fresh;
}
async function sweep(client, linger) {
  for (const record of await client.storage.list()) {
    const of = parseId(client.scope, record.operation);
    const stale = of && !of.named && isExpired(record, client.retention, client.clock);
    if (stale || of && isSpent(record, linger, client.clock)) await client.storage.remove(record.operation, record.key);
  }
}
function isSpent(record, linger, clock) {
  if (record.settledAt === void 0) return false;
  const age = clock.now() - record.settledAt;
  return age >= linger || age < -CLOCK_SLACK;
}
function isExpired(record, retention, clock) {
  return clock.now() - record.createdAt >= retention;
}
var CLOCK_SLACK = 5 * 6e4;
function expiry(identity, { key, createdAt }) {
  return new KeyExpiredError(identity.label, key, new Date(createdAt));
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

// src/backoff.ts
function waitBefore(repeat2, settings, clock, headers) {
  const asked = headers && retryAfter(headers, clock.now());
  if (asked !== void 0) return Math.min(asked, settings.maxRetryAfter) + clock.random() * Math.min(settings.baseDelay, settings.maxDelay);
  const ceiling = settings.baseDelay * 2 ** Math.min(repeat2 - 1, 30);
  return clock.random() * Math.min(settings.maxDelay, ceiling);
}

// src/repeat.ts
async function repeat(request, client, call, about, signal) {
  const { clock, budget } = client;
  const { operation, key } = about;
  const deadline = clock.elapsed() + call.totalTimeout;
  budget?.deposit();
  for (let number = 1; ; number++) {
    let giveUp2 = function() {
      if (number >= call.maxAttempts) return "max-attempts";
      if (clock.elapsed() + delay >= deadline) return "total-timeout";
      return budget && !budget.withdraw() ? "budget" : void 0;
    };
    var giveUp = giveUp2;
    about.tell({ type: "attempt", operation, key, attempt: number });
    const limit = Math.min(call.attemptTimeout, deadline - clock.elapsed());
    const end = await attempt(request, client.fetch, limit, clock, signal);
    signal.throwIfAborted();
    report(end, number, about);
    if ("answer" in end && end.answer.conclusion !== "again") return end.answer;
    const delay = waitBefore(number, call, clock, "answer" in end ? end.answer.headers : void 0);
    const reason = giveUp2();
    if (reason) {
      if ("answer" in end) return end.answer;
      throw new OutcomeUnknownError(operation, key, number, reason, end.error);
    }
    about.tell({ type: "retry", operation, key, attempt: number + 1, delay, reason: why(end) });
    if ("answer" in end) end.answer.drop();
    await clock.sleep(delay, signal);
  }
}
function report(end, number, { operation, key, tell: tell2 }) {
  if ("error" in end) return tell2({ type: "error", operation, key, attempt: number, error: end.error });
  const { status, conclusion, replayed } = end.answer;
  tell2({ type: "answer", operation, key, attempt: number, status, conclusion, replayed });
}
function why(end) {
  if ("error" in end) return "no-answer";
  return end.answer.status === 409 ? "in-flight" : "status";
}

// src/operations.ts
var Operations = class {
  constructor(client) {
    this.client = client;
  }
  client;
  #flights = /* @__PURE__ */ new Map();
  /** Keys under which this client has sent what it had no answer to. Another tab that had one may have removed them from the storage. */
  #unsure = /* @__PURE__ */ new Map();
  #lastSweep = -Infinity;
  /** Has an operation done, or joins it if it is under way or was answered a moment ago. */
  perform(request, identity, ownKey, call, signal) {
    const before = this.#flights.get(identity.id);
    if (before?.identity.fingerprint === identity.fingerprint) {
      tell(call.onProgress, { type: "joined", operation: identity.label });
      return before.join(signal, call.onProgress);
    }
    if (before?.isUnderWay) return Promise.reject(new OperationMismatchError(identity.label));
    const flight = new Flight(identity, (deserted) => this.#end(deserted));
    this.#flights.set(identity.id, flight);
    const response = flight.join(signal, call.onProgress);
    this.#run(flight, request, ownKey, call).catch((error) => {
      this.#end(flight);
      flight.fail(error);
    });
    this.#sweepNowAndThen(call.linger);
    return response;
  }
  /** The operations of this client's scope whose answer is not certain. */
  async pending() {
    const records = await this.client.storage.list();
    return records.flatMap(({ operation, key, createdAt, settledAt }) => {
      const of = settledAt === void 0 ? parseId(this.client.scope, operation) : void 0;
      return of ? [{ operation: of.label, named: of.named, key, createdAt: new Date(createdAt) }] : [];
    });
  }
  /** Drops the key of an operation. */
  async forget(label) {
    const { scope } = this.client;
    for (const id of [namedId(scope, label), unnamedId(scope, label)]) {
      const flight = this.#flights.get(id);
      if (flight && !flight.isUnderWay) this.#end(flight);
      this.#unsure.delete(id);
      await this.#forget(id);
    }
  }
  async #run(flight, request, ownKey, call) {
    const { client } = this;
    const { id, label: operation } = flight.identity;
    const record = ownKey === void 0 ? await keyFor(flight.identity, client, call.linger, this.#unsure.get(id)) : void 0;
    const key = ownKey ?? record.key;
    const { trouble } = client.storage;
    if (trouble) flight.tell({ type: "storage-unavailable", operation, error: trouble.error });
    flight.signal.throwIfAborted();
    if (record) this.#unsure.set(id, record);
    const about = { operation, key, tell: flight.tell.bind(flight) };
    const answer = await repeat(withKey(request, client.header, key), client, call, about, flight.signal);
    if (record && answer.conclusion !== "again") this.#unsure.delete(id);
    if (answer.conclusion === "definitive") {
      if (ownKey === void 0) await this.#settle(id, key, call.linger);
      flight.tell({ type: "settled", operation, key });
    }
    if (!this.#lingers(answer, call.linger)) this.#end(flight);
    else later(call.linger, () => this.#end(flight));
    flight.deliver(answer);
  }
  /** Marks a key as one that has served, and removes it now or a little later. */
  async #settle(id, key, linger) {
    const { storage, clock } = this.client;
    if (linger <= 0) return storage.remove(id, key);
    await storage.settle(id, key, clock.now());
    later(linger, () => void storage.remove(id, key));
  }
  #lingers(answer, linger) {
    return linger > 0 && answer.conclusion === "definitive" && answer.isWhole;
  }
  #end(flight) {
    if (this.#flights.get(flight.identity.id) === flight) this.#flights.delete(flight.identity.id);
  }
  async #forget(id) {
    const record = await this.client.storage.get(id);
    if (record) await this.client.storage.remove(id, record.key);
  }
  /** What is left behind goes away by and by, and no call waits for that. */
  #sweepNowAndThen(linger) {
    const now = this.client.clock.elapsed();
    if (now - this.#lastSweep < SWEEP_INTERVAL) return;
    this.#lastSweep = now;
    sweep(this.client, linger).catch(() => {
    });
    const { scope, retention, clock } = this.client;
    for (const [id, record] of this.#unsure) if (!parseId(scope, id)?.named && isExpired(record, retention, clock)) this.#unsure.delete(id);
  }
};
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
    const bearing = keyHeader(input, init, client.header);
    if (bearing === null && !client.methods.has(methodOf(input, init))) return client.fetch(input, init);
    if (bearing === "") throw new TypeError("the header for the idempotency key is empty");
    const signal = (init.signal === void 0 && input instanceof Request ? input.signal : init.signal) ?? void 0;
    signal?.throwIfAborted();
    const settings = client.call(init);
    const read = take(input, init);
    const { request, identity, ownKey } = await until(signal, async () => {
      const ownKey2 = bearing ?? await keyOf(settings);
      const request2 = await read();
      return { request: request2, ownKey: ownKey2, identity: await identify(request2, client.scope, settings.operation, ownKey2) };
    });
    signal?.throwIfAborted();
    return operations.perform(request, identity, ownKey, settings, signal);
  };
  return Object.assign(call, {
    pending: () => operations.pending(),
    forget: (operation) => operations.forget(operation)
  });
}
var idempotentFetch = createIdempotentFetch();
function methodOf(input, init) {
  return (init.method ?? (input instanceof Request ? input.method : "GET")).toUpperCase();
}
function keyHeader(input, init, header) {
  const given2 = init.headers ?? (input instanceof Request ? input.headers : void 0);
  return keyIn(new Headers(given2), header);
}
async function keyOf({ key }) {
  const made = typeof key === "function" ? await key() : key;
  if (made !== void 0 && !isKey(made)) {
    throw new TypeError("an idempotency key is from 1 to 255 visible ASCII characters");
  }
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
  KeyExpiredError,
  OperationMismatchError,
  OutcomeUnknownError,
  RetryBudget,
  conclude,
  createIdempotentFetch,
  defaultStorage,
  derive,
  idempotentFetch,
  indexedDbStorage,
  isReplay,
  localStorageStorage,
  memoryStorage,
  uuidv7
};
