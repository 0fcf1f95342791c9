import { createHash } from "node:crypto";
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyRecord, KeyStorage } from "../../src/index.js";
import type { Random } from "./walk-random.js";

let serial = 0;

/**
 * Stores keys in files, one for each operation. A process that is killed leaves each record whole.
 */
export function fileStorage(directory: string): KeyStorage {
  mkdirSync(directory, { recursive: true });
  const fileOf = (operation: string): string => join(directory, `${createHash("sha256").update(operation).digest("hex")}.json`);
  const read = (file: string): KeyRecord | undefined => {
    try {
      return JSON.parse(readFileSync(file, "utf8")) as KeyRecord;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };
  const aside = (record: KeyRecord): string => {
    const file = join(directory, `${process.pid}-${++serial}.part`);
    writeFileSync(file, JSON.stringify(record));
    return file;
  };
  return {
    async putIfAbsent(record) {
      const file = fileOf(record.operation);
      const part = aside(record);
      try {
        // A link is made in one step, and fails if the name is taken.
        linkSync(part, file);
        return record;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        const stored = read(file);
        if (!stored) throw new Error("another process removed the record at this moment");
        return stored;
      } finally {
        rmSync(part);
      }
    },
    async mark(operation, key, fields) {
      const record = read(fileOf(operation));
      if (record?.key !== key) return false;
      renameSync(aside({ ...record, ...fields }), fileOf(operation));
      return true;
    },
    async remove(operation, key, unlessShared) {
      const record = read(fileOf(operation));
      if (record?.key !== key) return true;
      if (unlessShared && record.shared) return false;
      rmSync(fileOf(operation));
      return true;
    },
    async list() {
      const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
      return names.flatMap((name) => read(join(directory, name)) ?? []);
    },
  };
}

/**
 * The faults of one call of a storage. `hangs` holds up all later calls for the operation, too.
 */
type Trouble = "none" | "rejects" | "does it and rejects" | "slow" | "hangs";

/**
 * A storage that fails by chance until it is mended. Its calls for one operation keep their order.
 */
export function failing(storage: KeyStorage, random: Random): KeyStorage & { mend(): void } {
  let mended = false;
  const queues = new Map<string, Promise<unknown>>();
  const call = <T>(operation: string, step: () => Promise<T>): Promise<T> => {
    const trouble: Trouble = mended ? "none" : random.pick(TROUBLE);
    const before = queues.get(operation) ?? Promise.resolve();
    const done = before.then(async () => {
      if (trouble === "rejects") throw new Error("the storage fails");
      if (trouble === "slow") await pause(10 + random.below(90));
      if (trouble === "hangs") await pause(3_000);
      const result = await step();
      if (trouble === "does it and rejects") throw new Error("the storage fails after it did its part");
      return result;
    });
    queues.set(operation, done.catch(() => {}));
    return done;
  };
  return {
    mend: () => void (mended = true),
    putIfAbsent: (record) => call(record.operation, () => storage.putIfAbsent(record)),
    mark: (operation, key, fields) => call(operation, () => storage.mark(operation, key, fields)),
    remove: (operation, key, unlessShared) => call(operation, () => storage.remove(operation, key, unlessShared)),
    list: () => call("", () => storage.list()),
  };
}

const TROUBLE: readonly (readonly [Trouble, number])[] = [["none", 860], ["rejects", 60], ["does it and rejects", 40], ["slow", 36], ["hangs", 4]];

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
