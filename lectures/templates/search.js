// Finds pages that hold all words, or else as many as a page has: half of them or more.
// PAGES, from search-index.js: [address, page, section, text].
const asked = (new URLSearchParams(location.search).get("q") || "").trim();
const pieces = asked.toLowerCase().split(/[\s,;"`“”„«»]+/);  // "softmax(" is a word, "norm," is not
const words = [...new Set(pieces.map((piece) => piece.replace(/[.?!:]+$/, "")))].filter(Boolean);

// What a student reads first, and what is looked up.
const FIRST = { lectures: 20, exercises: 20, widgets: 20, api: -20 };

function score([address, page, section, text]) {
  const where = [page.toLowerCase(), section.toLowerCase(), text.toLowerCase()];
  let held = 0;
  let sum = FIRST[address.split("/")[0]] ?? 0;
  for (const word of words) {
    const hits = where.map((words) => words.includes(word));
    held += hits.some(Boolean);
    sum += 8 * hits[0] + 12 * hits[1] + Math.min(5, where[2].split(word).length - 1);
  }
  return [held, sum];
}

function excerpt(text) {
  const small = text.toLowerCase();
  const at = Math.max(0, small.indexOf(words.find((word) => small.includes(word))) - 60);
  return (at ? "… " : "") + text.slice(at, at + 200) + (at + 200 < text.length ? " …" : "");
}

if (words.length) {
  document.querySelector("input[name=q]").value = asked;
  const scored = PAGES.map((row) => [...score(row), row]);
  const most = Math.max(words.length / 2, ...scored.map(([held]) => held));
  const found = scored.filter(([held]) => held >= most).sort(([, a], [, b]) => b - a);
  const all = !found.length || most === words.length;
  document.getElementById("said").textContent =
    (all ? "" : `No place has all of “${asked}”. `) +
    `${found.length} ${found.length === 1 ? "place has" : "places have"} ` +
    (all ? `“${asked}”` : `${most} of the ${words.length} words`) +
    (found.length > 50 ? "; the first 50:" : ".");
  for (const [, , [address, page, section, text]] of found.slice(0, 50)) {
    const link = Object.assign(document.createElement("a"), { href: address });
    link.textContent = section && section !== page ? `${page}: ${section}` : page;
    const item = document.createElement("li");
    item.append(link, document.createElement("br"), excerpt(text));
    document.getElementById("found").append(item);
  }
}
