import type { Page } from "playwright-core";

/** Elements wider than their place, so that they are cut off or scroll: there may be none. */
export function sideways(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const isShown = (element: Element): boolean => element.getClientRects().length > 0 && !element.closest(".unseen, .skip, thead, input, option");
    const edge = document.documentElement.clientWidth;
    const elements = [document.documentElement, ...document.querySelectorAll("body *")].filter(isShown);
    const cut = elements.filter((element) => {
      const { left, right } = element.getBoundingClientRect();
      // Inline elements have no width of their own.
      return right > edge + 1 || left < -1 || (element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1);
    });
    return cut.map((element) => `${element.tagName}.${element.className}#${element.id}`);
  });
}
