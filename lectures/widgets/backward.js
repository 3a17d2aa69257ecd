// The backward pass, node by node, as the engine walked it: what `walk_back()` yielded.
import { choice, element, start, stepper } from "./frame.js";

/** What has been sent to each name in the first `count` steps, summed: {name: gradient}. */
export function gradientsAfter(steps, count) {
  const sums = { [steps[0].node]: steps[0].gradient };
  for (const { sends } of steps.slice(0, count)) {
    for (const [name, g] of sends) if (g !== null) sums[name] = (sums[name] ?? 0) + g;
  }
  return sums;
}

const short = (x) => (x === undefined ? "" : String(+x.toFixed(4)).replace("-", "−"));

function show(place, expressions) {
  const body = element("tbody"), told = element("p", { role: "status" });
  const which = choice("Expression", expressions.map((e, i) => [i, e.title]), restart);
  const steps = stepper("Step", (step) => `${step} nodes done`, draw);
  const expression = () => expressions[which.value];

  function restart() { steps.restart(expression().steps.length); }
  function draw(step) {
    const { rows, steps: walk } = expression(), sums = gradientsAfter(walk, step);
    const now = step ? walk[step - 1] : null;
    const done = walk.slice(0, step).map((s) => s.node);
    body.replaceChildren(...rows.map(({ name, made, value }) => {
      const sent = now?.sends.some(([to, g]) => to === name && g !== null);
      const state = name === now?.node ? "now" : sent ? "sent" : done.includes(name) ? "done" : "";
      return element("tr", { class: state }, element("th", { scope: "row" }, name),
        element("td", {}, made), element("td", {}, short(value)), element("td", {}, short(sums[name])));
    }));
    told.textContent = now === null ? `Start: d loss / d loss = ${short(walk[0].gradient)}.`
      : `${now.node} (${now.op}) gets ${short(now.gradient)}, and sends ${now.sends.map(([to, g]) =>
        (g === null ? `nothing to ${to}, which nobody asked about` : `${short(g)} to ${to}`)).join(", ")}.`;
  }
  const head = ["", "made of", "value", "gradient"].map((words) => element(words ? "th" : "td", words ? { scope: "col" } : {}, words));
  place.append(which.root, steps.root, told,
    element("table", { class: "walk" }, element("thead", {}, element("tr", {}, ...head)), body));
  restart();
}

start("backward", show);
