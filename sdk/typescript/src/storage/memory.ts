import type { KeyRecord, KeyStorage } from "./types.js";

/** Stores keys in memory: they serve double clicks and retries, but do not survive a reload, and no other tab sees them. */
export function memoryStorage(): KeyStorage {
  const records = new Map<string, KeyRecord>();
  const own = (operation: string, key: string): KeyRecord | undefined => {
    const record = records.get(operation);
    return record?.key === key ? record : undefined;
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
    },
  };
}
