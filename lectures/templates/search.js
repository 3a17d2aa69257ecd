// Finds pages that hold all words. PAGES, from search-index.js: [address, page, section, text].
const asked = (new URLSearchParams(location.search).get("q") || "").trim();
const words = asked.toLowerCase().split(/\s+/).filter(Boolean);

function score([, page, section, text]) {
  const where = [page.toLowerCase(), section.toLowerCase(), text.toLowerCase()];
  let sum = 0;
  for (const word of words) {
    const hits = where.map((words) => words.includes(word));
    if (!hits.some(Boolean)) return 0;
    sum += 8 * hits[0] + 12 * hits[1] + Math.min(5, where[2].split(word).length - 1);
  }
  return sum;
}

function excerpt(text) {
  const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60);
  return (at ? "… " : "") + text.slice(at, at + 200) + (at + 200 < text.length ? " …" : "");
}

if (words.length) {
  document.querySelector("input[name=q]").value = asked;
  const found = PAGES.map((row) => [score(row), row]).filter(([sum]) => sum);
  found.sort(([a], [b]) => b - a);
  document.getElementById("said").textContent =
    `${found.length} ${found.length === 1 ? "place has" : "places have"} “${asked}”` +
    (found.length > 50 ? "; the first 50:" : ".");
  for (const [, [address, page, section, text]] of found.slice(0, 50)) {
    const link = Object.assign(document.createElement("a"), { href: address });
    link.textContent = section && section !== page ? `${page}: ${section}` : page;
    const item = document.createElement("li");
    item.append(link, document.createElement("br"), excerpt(text));
    document.getElementById("found").append(item);
  }
}
