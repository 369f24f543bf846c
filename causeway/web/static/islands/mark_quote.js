// Marks a quote where it stands in a rendered text.

/** Highlights `quote` in `element` without touching its DOM; the range, or null where it is not found. */
export function markQuote(element, quote) {
  if (!globalThis.Highlight || !quote) return null;
  const letters = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (let at = 0; at < node.data.length; at += 1) if (/[\p{L}\p{N}]/u.test(node.data[at])) letters.push([node, at]);
  }
  // Letters and digits alone are compared: Markdown's marks and line breaks differ between source and page.
  const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const wanted = plain(quote);
  const start = letters.map(([node, at]) => node.data[at].toLowerCase()).join("").indexOf(wanted);
  if (!wanted || start < 0) return null;
  const range = new Range();
  range.setStart(...letters[start]);
  const [node, at] = letters[start + wanted.length - 1];
  range.setEnd(node, at + 1);
  CSS.highlights.set("quote", new Highlight(range));
  return range;
}
