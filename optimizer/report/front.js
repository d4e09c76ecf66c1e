"use strict";
/* Lets a reader walk the front: choose a point, or weights and floors that pick one. It reads the page's own data
   and changes nothing else; without it the report shows the same plans in tables. */
(function () {
  const data = JSON.parse(document.getElementById("front-data").textContent);
  const names = data.names;
  const box = document.getElementById("choose");
  const say = document.getElementById("chosen-title");
  const walk = document.getElementById("walk");
  const weights = names.map((_, i) => document.getElementById("weight-" + i));
  const floors = names.map((_, i) => document.getElementById("floor-" + i));
  const KEEP = 1e-9;

  function number(value) {
    if (value === null || !isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
    if (size >= 999.5 || Number.isInteger(value)) return whole(value);
    const rounded = Number(size.toPrecision(3));
    return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(rounded))));
  }
  function whole(value) {
    const text = Math.abs(value).toFixed(0).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
    return (value < 0 && text !== "0" ? "-" : "") + text;
  }
  function percent(share) {
    return (100 * share).toFixed(1) + " %";
  }
  function figure(value) {
    if (value === null) return document.createTextNode("–");
    const made = document.createElement("data");
    made.value = String(value);
    made.textContent = number(value);
    return made;
  }
  function cell(row, tag, ...parts) {
    const made = document.createElement(tag);
    if (tag === "th") made.scope = "row";
    else made.className = "n";
    made.append(...parts);
    row.append(made);
  }
  function sub(...parts) {
    const made = document.createElement("span");
    made.className = "sub";
    made.append(...parts);
    return made;
  }
  function between(low, high) {
    return low === null || high === null ? [] : [sub(figure(low), " to ", figure(high))];
  }

  /* Steps on the scale, as in Front.pick: 0 at the worst, 1 at the best value of each KPI. */
  function step(name, value) {
    const [worst, best] = data.scale[name];
    return (value - worst) / (best - worst);
  }
  function stated() {
    const raw = weights.map((slider) => Number(slider.value));
    const total = raw.reduce((sum, value) => sum + value, 0);
    return total > 0 ? raw.map((value) => value / total) : null;
  }
  /* A floor goes from the worst to the best value of its KPI on the front; at the worst it keeps every point. */
  function floor(index) {
    const [worst, best] = data.ends[names[index]];
    return worst + (Number(floors[index].value) / 100) * (best - worst);
  }
  function kept(point) {
    return names.every((name, i) => {
      const [worst, best] = data.ends[name];
      const sign = data.rising[name] ? 1 : -1;
      return sign * (point[name] - floor(i)) >= -KEEP * Math.abs(best - worst);
    });
  }
  function pick() {
    const share = stated();
    if (share === null) return tell("Give at least one objective a weight.");
    let chosen = -1;
    let most = -Infinity;
    data.points.forEach((point, index) => {
      if (!kept(point)) return;
      const value = names.reduce((sum, name, i) => sum + share[i] * step(name, point[name]), 0);
      if (value > most) {
        most = value;
        chosen = index;
      }
    });
    if (chosen < 0) return tell("No plan of the front keeps all these floors.");
    show(chosen, "best of the front for these weights and floors");
  }
  function label() {
    const share = stated();
    names.forEach((name, i) => {
      document.getElementById("weight-said-" + i).textContent = share === null ? "0 %" : percent(share[i]);
      weights[i].setAttribute("aria-valuetext", share === null ? "0 %" : percent(share[i]));
      const said = document.getElementById("floor-said-" + i);
      const words = data.rising[name] ? "at least " : "at most ";
      said.replaceChildren(words, figure(floor(i)));
      floors[i].setAttribute("aria-valuetext", said.textContent);
    });
  }
  function tell(words) {
    say.textContent = words;
    mark(-1);
    for (const id of ["chosen-kpis", "chosen-lines"]) document.getElementById(id).replaceChildren();
    box.dataset.point = "";
  }
  function mark(chosen) {
    document.querySelectorAll("#front-charts .front_marks").forEach((group) => {
      Array.from(group.children).forEach((mark, index) => {
        mark.classList.toggle("chosen", index === chosen);
      });
    });
  }
  function show(chosen, why) {
    const point = data.points[chosen];
    say.textContent = "Plan " + (chosen + 1) + " of " + data.points.length + ": " + why;
    box.dataset.point = String(chosen);
    walk.value = String(chosen);
    walk.setAttribute("aria-valuetext", names.map((name) => name + " " + number(point[name])).join(", "));
    const kpis = document.getElementById("chosen-kpis");
    kpis.replaceChildren();
    for (const kpi of data.kpis) {
      const row = document.createElement("tr");
      const made = data.outcomes[chosen][kpi.kpi];
      cell(row, "th", kpi.kpi, ...(kpi.unit && kpi.unit !== kpi.kpi ? [sub(kpi.unit)] : []));
      cell(row, "td", figure(kpi.current));
      cell(row, "td", figure(kpi.expected), ...between(kpi.low, kpi.high));
      cell(row, "td", figure(made.expected), ...between(made.low, made.high));
      kpis.append(row);
    }
    const lines = document.getElementById("chosen-lines");
    lines.replaceChildren();
    for (const line of data.lines) {
      const row = document.createElement("tr");
      cell(row, "th", line.line);
      cell(row, "td", figure(line.current));
      cell(row, "td", figure(line.plan));
      cell(row, "td", figure(point["spend " + line.line]));
      lines.append(row);
    }
    mark(chosen);
  }

  walk.max = String(data.points.length - 1);
  walk.addEventListener("input", () => show(Number(walk.value), "chosen on the front"));
  for (const slider of [...weights, ...floors]) {
    slider.addEventListener("input", () => {
      label();
      pick();
    });
  }
  for (const button of box.querySelectorAll("button[data-point]")) {
    button.addEventListener("click", () => show(Number(button.dataset.point), button.textContent.trim()));
  }
  document.querySelectorAll("#front-charts .front_marks").forEach((group) => {
    Array.from(group.children).forEach((mark, index) => {
      mark.addEventListener("click", () => show(index, "chosen on the front"));
    });
  });
  label();
  box.hidden = false;
  const start = data.picks.find((row) => row.pick === "nearest to the plan");
  show(start.point, "nearest to the plan above");
})();
