import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["browser/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Each test starts a browser, and two at a time slow each other down.
    fileParallelism: false,
  },
});
