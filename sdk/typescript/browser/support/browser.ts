import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";

/** Nothing here takes this long unless it never happens. */
export const PATIENCE = 20_000;

const ARGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser with a user's directory, which can be closed and opened again. */
export class Browser {
  readonly #directory = mkdtempSync(join(tmpdir(), "browser-"));
  #context: BrowserContext | undefined;
  /** Addresses that pages asked for. */
  readonly asked: string[] = [];
  /** What pages had to complain of, apart from requests that failed. */
  readonly complaints: string[] = [];

  constructor(
    readonly options: BrowserContextOptions = {},
    readonly args: string[] = [],
  ) {}

  /** Opens a page: the first one starts the browser. */
  async open(address: string): Promise<Page> {
    this.#context ??= await this.#start();
    const page = await this.#context.newPage();
    page.on("request", (request) => this.asked.push(request.url()));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      // The browser itself writes these when a response is lost or is a rejection, which the tests
      // see to.
      const network = message.text().startsWith("Failed to load resource:");
      if (message.type() !== "log" && !network) this.complaints.push(message.text());
    });
    await page.goto(address);
    return page;
  }

  async #start(): Promise<BrowserContext> {
    const context = await chromium.launchPersistentContext(this.#directory, {
      executablePath: executable(),
      args: [...ARGS, ...this.args],
      viewport: { width: 1280, height: 900 },
      locale: "en-GB",
      ...this.options,
    });
    context.setDefaultTimeout(PATIENCE);
    return context;
  }

  /** Closes the browser as its user would. The directory stays. */
  async close(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }

  /** Closes the browser for good. */
  async end(): Promise<void> {
    await this.close();
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function executable(): string {
  const inPath = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "chromium"));
  const places = [process.env["CHROMIUM"], "/usr/bin/chromium", ...inPath];
  const found = places.find((place) => place !== undefined && existsSync(place));
  if (!found) throw new Error("there is no Chromium: set CHROMIUM to its path");
  return found;
}
