import { expect, test } from "vitest";
import { pay } from "./pay.js";

test("a page in jsdom pays once over a bad network", async () => {
  expect(typeof document).toBe("object");
  expect(await pay(process.env["SHOP"]!, "in jsdom")).toBe(true);
});
