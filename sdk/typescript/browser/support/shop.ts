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

  get stop(): Locator {
    return this.page.getByRole("button", { name: "Stop" });
  }

  get badNetwork(): Locator {
    return this.page.getByRole("switch", { name: "Bad network" });
  }

  get sendNoKey(): Locator {
    return this.page.getByRole("switch", { name: "Send no key" });
  }

  get status(): Locator {
    return this.page.getByRole("status");
  }

  /** How long the client still tries by itself. */
  get timeLeft(): Locator {
    return this.page.getByRole("timer");
  }

  get counter(): Locator {
    return this.page.locator("#counter");
  }

  /** The requests, the latest first. */
  get attempts(): Locator {
    return this.page.getByRole("table", { name: "Requests of this browser" }).locator("tbody tr");
  }

  /** The requests of this order beside the button, as marks and words. */
  get tries(): Locator {
    return this.page.getByRole("list", { name: "Requests of this order" }).getByRole("listitem");
  }

  /** The three numbers once more, beside the requests of this order. */
  get triesCount(): Locator {
    return this.page.locator("#tries-count");
  }

  /** The text about the fields of the order. */
  get terms(): Locator {
    return this.page.locator("#terms");
  }

  /** The payments, the latest first. */
  get ledger(): Locator {
    return this.page.getByRole("table", { name: "Payments that the server made" }).locator("tbody tr");
  }

  async serverResponds(time: "at once" | "after 2 s" | "after 5 s"): Promise<void> {
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

  /** Writes down from now on what the status says, and gives it later. */
  async listens(): Promise<() => Promise<string>> {
    const heard = await this.status.evaluateHandle((status: HTMLElement) => {
      const all: string[] = [];
      new MutationObserver(() => all.push(status.innerText)).observe(status, { childList: true, characterData: true, subtree: true });
      return all;
    });
    return async () => (await heard.jsonValue()).join("\n");
  }

  async counts(clicks: string, requests: string, payments: string): Promise<void> {
    const words = `${clicks} → ${requests} → ${payments}`;
    const pattern = new RegExp(words.replace("→ ?", "→ \\?").replaceAll(" ", "\\s*"));
    await this.counter.filter({ hasText: pattern }).waitFor();
  }

  /** Waits for a request with this result. */
  async hasResult(words: string): Promise<void> {
    await this.attempts.filter({ hasText: words }).first().waitFor();
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
