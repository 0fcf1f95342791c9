import type { Locator, Page } from "playwright-core";

/** The page of the sandbox, by the words that a person finds on it. */
export class Shop {
  constructor(readonly page: Page) {}

  get pay(): Locator {
    return this.page.getByRole("button", { name: "Pay", exact: true });
  }

  get newOrder(): Locator {
    return this.page.getByRole("button", { name: "New order" });
  }

  get badNetwork(): Locator {
    return this.page.getByRole("switch", { name: "Bad network" });
  }

  get status(): Locator {
    return this.page.getByRole("status");
  }

  get counter(): Locator {
    return this.page.locator("#counter");
  }

  /** The requests, the latest first. */
  get attempts(): Locator {
    return this.page.getByRole("table").filter({ hasText: "Result" }).locator("tbody tr");
  }

  /** The ledger, the latest first. */
  get ledger(): Locator {
    return this.page.getByRole("table").filter({ hasText: "Payment" }).locator("tbody tr");
  }

  async serverTakes(time: "no time" | "2 seconds" | "5 seconds"): Promise<void> {
    await this.page.getByText(time, { exact: true }).click();
  }

  /** Clicks as fast as hands cannot. */
  async click(times: number): Promise<void> {
    await this.pay.evaluate((button: HTMLElement, times) => {
      for (let click = 0; click < times; click += 1) button.click();
    }, times);
  }

  async showsStatus(words: string): Promise<void> {
    await this.status.filter({ hasText: words }).waitFor();
  }

  /** Waits until it is paid, and gives the payment's id. */
  async isPaid(): Promise<string> {
    await this.showsStatus("Paid, once.");
    return /pay_[0-9a-f]+/.exec(await this.status.innerText())?.[0] ?? "";
  }

  async counts(clicks: string, requests: string, payments: string): Promise<void> {
    const words = `${clicks} → ${requests} → ${payments}`;
    const pattern = new RegExp(words.replaceAll(" ", "\\s*"));
    await this.counter.filter({ hasText: pattern }).waitFor();
  }

  /** The whole key of the latest request. */
  async key(): Promise<string> {
    return (await this.attempts.first().locator("code").getAttribute("title")) ?? "";
  }

  /** What became of each request, the first one first. */
  async results(): Promise<string[]> {
    return (await this.attempts.locator(".result").allInnerTexts()).reverse();
  }
}
