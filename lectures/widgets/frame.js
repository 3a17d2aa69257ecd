// What every widget is made of: elements, sliders, choices, bars, steps, and its place in the page.

/** An element. Attributes that are functions listen: element("button", {click: f}, "Next"). */
export function element(tag, attributes = {}, ...children) {
  const svg = "svg rect line path text image circle g".split(" ").includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  change(made, attributes);
  made.append(...children);
  return made;
}

export function change(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/** A labelled slider. say(value): its value in words; changed(value): what follows. */
export function slider(label, range, say, changed) {
  const input = element("input", { type: "range", "aria-label": label, ...range });
  const value = element("span", { class: "value" });
  const tell = () => {
    value.textContent = say(+input.value);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  input.addEventListener("input", () => { tell(); changed(+input.value); });
  tell();
  return {
    root: element("label", { class: "slider" }, element("span", {}, label), input, value),
    get value() { return +input.value; },
    set(range) { change(input, range); input.value = range.value ?? input.value; tell(); },
  };
}

/** A labelled list of choices: [[value, words]]. */
export function choice(label, options, changed) {
  const select = element("select", { "aria-label": label, change: () => changed(select.value) },
    ...options.map(([value, words]) => element("option", { value }, words)));
  return {
    root: element("label", { class: "choice" }, element("span", {}, label), select),
    get value() { return select.value; },
    set(value) { select.value = value; },
  };
}

/** Back and forward through `count` steps, by buttons and by a slider. */
export function stepper(label, say, changed) {
  const steps = slider(label, { min: 0, max: 0, step: 1, value: 0 }, say, (step) => go(step));
  const button = (words, by) => element("button", { type: "button", click: () => go(steps.value + by) }, words);
  const back = button("← back", -1), forward = button("forward →", 1);
  let last = 0;
  function go(step) {
    steps.set({ value: Math.max(0, Math.min(last, step)), max: last });
    back.disabled = steps.value === 0;
    forward.disabled = steps.value === last;
    changed(steps.value);
  }
  return {
    root: element("div", { class: "stepper" }, back, forward, steps.root),
    get step() { return steps.value; },
    restart(count, step = 0) { last = count; steps.set({ max: last }); go(step); },
  };
}

/** A list of names, each with a bar and a number. show([{name, share, says}]). */
export function bars(label) {
  const list = element("ul", { class: "bars", "aria-label": label });
  return {
    root: list,
    show(rows) {
      const most = Math.max(...rows.map((row) => row.share));
      while (list.children.length > rows.length) list.lastChild.remove();
      rows.forEach(({ name, share, says }, i) => {
        const row = list.children[i] ?? list.appendChild(element("li", {},
          element("span", { class: "name" }), element("span", { class: "bar" }, element("span")),
          element("span", { class: "value" })));
        row.className = share === most ? "most" : "";
        row.children[0].textContent = name;
        row.children[1].firstChild.style.width = `${100 * share}%`;
        row.children[2].textContent = says;
      });
    },
  };
}

/** A grid of cells, dark where a value is large. show(values, words for those who do not see it). */
export function heat(rows, columns) {
  const cells = Array.from({ length: rows * columns }, (_, i) => element("rect", {
    x: i % columns, y: Math.floor(i / columns), width: 1, height: 1 }));
  const root = element("svg", { viewBox: `0 0 ${columns} ${rows}`, role: "img", class: "heat" }, ...cells);
  return {
    root,
    show(values, words) {
      const most = Math.max(...values) || 1;
      cells.forEach((cell, i) => cell.setAttribute("fill-opacity", values[i] / most));
      root.setAttribute("aria-label", words);
    },
  };
}

export const percent = (share) => `${(100 * share).toFixed(1)}%`;
export const grouped = (number) => number.toLocaleString("en-US");

/** Show a widget where the page has a place for it; its still goes. Elsewhere, do nothing. */
export function start(name, show) {
  const place = globalThis.document?.querySelector(`[data-widget="${name}"]`);
  if (!place) return;
  show(place.querySelector(".moving"), JSON.parse(document.getElementById(`data-${name}`).textContent));
  place.querySelector(".still").remove();
}
