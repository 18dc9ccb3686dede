"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const drawn = new Map();
  let plots = []; // once unpacked

  function unpacked(id) {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  }

  // Figures name colours by the page's custom properties, so that they follow its scheme: "--c0", "--c0@20".
  function resolved(value, style) {
    if (Array.isArray(value)) return value.map((item) => resolved(item, style));
    if (value !== null && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
    if (typeof value !== "string" || !/^--[a-z]+\d*(@\d+)?$/.test(value)) return value;
    const [name, share] = value.split("@");
    if (name === "--none") return "rgba(0,0,0,0)";
    const colour = style.getPropertyValue(name).trim();
    return share ? colour + Math.round(share * 2.55).toString(16).padStart(2, "0") : long(colour);
  }
  const long = (colour) => (/^#...$/.test(colour) ? "#" + [...colour.slice(1)].map((c) => c + c).join("") : colour);

  function draw(figure) {
    const choice = figure.querySelector(".choice [aria-pressed=true]");
    const chosen = plots[figure.dataset.figure][choice ? choice.dataset.plot : ""];
    const hidden = new Set(
      [...figure.querySelectorAll(".legend [aria-pressed=false]")].map((button) => button.dataset.name));
    const { data, layout } = resolved(chosen, getComputedStyle(document.documentElement));
    data.forEach((trace) => { trace.visible = !hidden.has(trace.meta); });
    const fine = matchMedia("(pointer: fine)").matches; // a finger scrolls the page and must not zoom the figure
    layout.dragmode = fine ? "zoom" : false;
    const config = {
      responsive: true, displaylogo: false, displayModeBar: fine ? "hover" : false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    drawn.set(figure, true);
    return Plotly.react(figure.querySelector(".plot"), data, layout, config);
  }

  // What is not in view is drawn when there is nothing else to do, so that a picture of the whole page has all of it.
  const idle = window.requestIdleCallback || ((then) => setTimeout(then, 50));
  function rest() {
    const next = figures.find((figure) => !drawn.has(figure) && !figure.hidden);
    if (next) idle(() => { if (!drawn.has(next)) draw(next); rest(); });
  }

  // At one look: the sentence and the picture of one task and sparsity.
  const looks = [...document.querySelectorAll("#anytime figure")];
  function look() {
    const chosen = byId("glance") ? byId("glance").value : "0";
    if (byId("glance")) byId("sentence").textContent = byId("glance").selectedOptions[0].dataset.sentence;
    looks.forEach((figure, place) => { figure.hidden = String(place) !== chosen; });
    if (plots.length && looks[chosen] && !drawn.has(looks[chosen])) draw(looks[chosen]);
  }

  const figures = [...document.querySelectorAll("figure[data-figure]")];
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }, { rootMargin: "400px" });
  if ("DecompressionStream" in window)
    Promise.all([unpacked("figures").json(), unpacked("plotly").text()]).then(([found, text]) => {
      document.head.append(Object.assign(document.createElement("script"), { textContent: text }));
      plots = found;
      figures.forEach((figure) => watch.observe(figure));
      rest();
    });
  else byId("old").hidden = false;
  figures.forEach((figure) => {
    figure.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.plot !== undefined)
        figure.querySelectorAll(".choice button").forEach((other) =>
          other.setAttribute("aria-pressed", String(other === button)));
      else if (button.dataset.name !== undefined)
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      else return;
      draw(figure);
    });
  });
  const redraw = () => drawn.forEach((_, figure) => draw(figure));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => plots.length && figures.forEach(draw));

  // The leaderboard.
  const board = byId("board"), body = board.tBodies[0], rows = [...body.rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  function show() {
    const task = byId("by-task").value, sparsity = byId("by-sparsity").value;
    const words = byId("by-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (element) => (!task || !element.dataset.task || element.dataset.task === task) &&
      (!sparsity || !element.dataset.sparsity || element.dataset.sparsity === sparsity);
    let count = 0;
    for (const row of rows) {
      const folded = row.dataset.variant !== undefined && byId("all") && !byId("all").checked && !words.length;
      row.hidden = folded || !fits(row) || !words.every((word) => texts.get(row).includes(word));
      count += row.hidden ? 0 : 1;
    }
    document.querySelectorAll("figure[data-task], .commands").forEach((element) => {
      if (!element.closest("#anytime")) element.hidden = !fits(element);
    });
    if (plots.length) rest();
    byId("count").textContent = count === rows.length ? `${count} lines` : `${count} of ${rows.length} lines`;
  }
  byId("filter").addEventListener("change", show);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("by-text").addEventListener("input", show);
  if (byId("all")) byId("all").addEventListener("change", show);
  if (byId("glance")) byId("glance").addEventListener("change", look);
  show();
  look();

  function sort(head) {
    const button = head.querySelector("button"), place = head.cellIndex, now = head.getAttribute("aria-sort");
    const first = button.dataset.first || "ascending";
    const order = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
    board.querySelectorAll("thead th").forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[place].dataset.value;
    const missing = (text) => text === "inf" || text === "-inf";
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y); // last in either order
      const numbers = x !== "" && y !== "" && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
      return sign * (numbers ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
    });
    body.append(...rows);
  }
  board.querySelector("thead").addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (head) sort(head);
  });

  byId("save").addEventListener("click", async () => {
    const link = document.createElement("a");
    const bytes = await unpacked("analysis").arrayBuffer();
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
    link.download = "analysis.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
})();
