// The contact sheet of one batch. Whatever comes from the batch is put into the document as text, never as markup.
"use strict";
(() => {
  const { batch, rows } = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const grid = byId("grid");
  const detail = byId("detail");

  const FILTERS = [
    ["all", "All rows", () => true],
    ["pictures", "Pictures", (row) => Boolean(row.file)],
    ["duplicates", "Duplicates", (row) => Boolean(row.same_as || row.paid_by)],
    ["failed", "Failed", (row) => row.status === "failed"],
    ["held", "Held", (row) => row.status === "held"],
    ["invalid", "Not understood", (row) => row.status === "invalid"],
    ["waiting", "Not made yet", (row) => row.status === "pending" || row.status === "running"],
  ];
  const WORDS = {
    success: "Picture made", failed: "Failed", held: "Held: it may have been paid for", invalid: "Row not understood",
    pending: "Not made yet", running: "Being made",
  };
  const SIZES = { small: [104, 36], medium: [240, 98], large: [400, 98] }; // least width of a card, height of its caption
  const GAP = 16;
  const OVERSCAN = 1; // lines of cards kept above and below the view

  let filter = "all";
  let words = [];
  let size = "medium";
  let shown = rows;
  let active = 0; // place in `shown` of the card that Tab reaches
  let opened = 0; // place in `shown` of the row in the dialog
  let columns = 1;
  let cardWidth = 0;
  let lineHeight = 1;
  const cards = new Map(); // place in `shown` → list item in the document

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== "" && child != null));
    return made;
  }
  const count = (number) => number.toLocaleString("en");
  const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
  const dollars = (amount) => "$" + (amount === 0 ? "0" : amount.toFixed(amount < 1 ? 3 : 2));
  const path = (file) => file.split("/").map(encodeURIComponent).join("/");
  const title = (row) => row.name || `Row ${count(row.row)}`;
  const moment = (text) => text && new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

  // ---- head

  function fillHead() {
    byId("name").textContent = batch.name;
    const facts = [batch.state, moment(batch.created_at), batch.recipe && `recipe ${batch.recipe}`, batch.batch_id];
    byId("facts").append(
      ...facts.filter(Boolean).map((fact) => element("span", {}, fact)),
      ...(rows.length < batch.lines ? [element("span", { class: "badge late" }, `first ${count(rows.length)} of ${plural(batch.lines, "line")}; all are in results.csv`)] : []),
      ...(batch.late ? [element("span", { class: "badge late" }, "late: published at its deadline")] : []),
    );
    const unfinished = batch.pending + batch.running;
    const tiles = [
      [plural(batch.rows, "row").split(" ")[1], count(batch.rows)],
      ["different pictures", count(batch.jobs)],
      ["made", count(batch.succeeded), "good"],
      unfinished && ["not made yet", count(unfinished), "warn"],
      batch.held && ["held", count(batch.held), "warn"],
      ["failed", count(batch.failed), batch.failed && "bad"],
      batch.repaid && ["perhaps paid twice", count(batch.repaid), "warn"],
      batch.invalid_rows && ["not understood", count(batch.invalid_rows), "bad"],
      ["payments saved", count(batch.duplicates_prevented)],
      ["paid for this batch", dollars(batch.cost_usd)],
    ];
    byId("tiles").append(...tiles.filter(Boolean).map(([label, value, tone]) =>
      element("div", tone ? { class: tone } : {}, element("dt", {}, label), element("dd", {}, value))));
  }

  function fillTools() {
    for (const [name, label, test] of FILTERS) {
      const found = rows.filter(test).length;
      if (name !== "all" && found === 0) continue;
      const chip = element("button", { type: "button", "data-filter": name }, label, element("small", {}, count(found)));
      chip.addEventListener("click", () => { filter = name; select(); });
      byId("chips").append(chip);
    }
    for (const [place, name] of Object.keys(SIZES).entries()) {
      const mark = element("i");
      mark.style.width = mark.style.height = `${7 + 4 * place}px`;
      const button = element("button", { type: "button", "data-size": name, "aria-label": `${name} pictures`, title: `${name} pictures` }, mark);
      button.addEventListener("click", () => { size = name; press(); placeCards(true); });
      byId("sizes").append(button);
    }
  }

  function press() {
    for (const chip of byId("chips").children) chip.setAttribute("aria-pressed", chip.dataset.filter === filter);
    for (const button of byId("sizes").children) button.setAttribute("aria-pressed", button.dataset.size === size);
  }

  // ---- which rows

  function select() {
    const test = FILTERS.find(([name]) => name === filter)[2];
    shown = rows.filter((row) => test(row) && words.every((word) => row.haystack.includes(word)));
    active = 0;
    press();
    byId("nothing").hidden = shown.length > 0;
    byId("announce").textContent = plural(shown.length, "row");
    const start = grid.offsetTop - headroom();
    if (scrollY > start) scrollTo(0, start);
    placeCards(true);
  }

  // ---- cards: only those near the view are in the document

  function placeCards(anew = false) {
    const width = grid.clientWidth;
    const [least, caption] = SIZES[size];
    const narrow = Math.min(least, (width - GAP) / 2);
    columns = Math.max(1, Math.floor((width + GAP) / ((size === "large" ? least : narrow) + GAP)));
    cardWidth = (width - GAP * (columns - 1)) / columns;
    lineHeight = cardWidth + caption + GAP;
    grid.className = `grid ${size}`;
    grid.style.height = `${Math.max(0, Math.ceil(shown.length / columns) * lineHeight - GAP)}px`;
    if (anew) {
      for (const card of cards.values()) card.remove();
      cards.clear();
    }
    for (const [place, item] of cards) put(item, place);
    refresh();
  }

  function put(item, place) {
    const x = (place % columns) * (cardWidth + GAP);
    const y = Math.floor(place / columns) * lineHeight;
    item.style.cssText = `transform: translate(${x}px, ${y}px); width: ${cardWidth}px; height: ${lineHeight - GAP}px`;
  }

  function refresh() {
    const top = -grid.getBoundingClientRect().top;
    const first = Math.max(0, (Math.floor(top / lineHeight) - OVERSCAN) * columns);
    const last = Math.min(shown.length, (Math.ceil((top + innerHeight) / lineHeight) + OVERSCAN) * columns);
    for (const [place, item] of cards) {
      if ((place < first || place >= last) && !item.contains(document.activeElement)) {
        item.remove();
        cards.delete(place);
      }
    }
    for (let place = first; place < last; place++) if (!cards.has(place)) add(place);
    if (!cards.has(active) && shown.length) active = Math.min(Math.max(first + OVERSCAN * columns, 0), shown.length - 1);
    for (const [place, item] of cards) item.firstChild.tabIndex = place === active ? 0 : -1;
  }

  function add(place) {
    const item = element("li", { "aria-posinset": place + 1, "aria-setsize": shown.length }, card(shown[place]));
    item.firstChild.addEventListener("click", () => { active = place; open(place); });
    put(item, place);
    // In the order of the rows, so that a screen reader meets them so.
    const after = [...cards.keys()].filter((other) => other > place).reduce((least, other) => Math.min(least, other), Infinity);
    grid.insertBefore(item, cards.get(after) ?? null);
    cards.set(place, item);
  }

  function card(row) {
    const cost = row.cost_usd != null && dollars(row.cost_usd);
    const facts = sharing(row) ? [sizeOf(row), sharing(row)[0]] : [sizeOf(row), cost, row.seed && `seed ${row.seed}`];
    return element("button", { type: "button", class: `card is-${row.status}`, "aria-label": `${title(row)}: ${WORDS[row.status]}. ${row.prompt ?? ""}` },
      element("span", { class: "picture" }, ...picture(row, "")),
      element("span", { class: "caption" },
        element("b", {}, title(row)),
        element("span", {}, row.prompt || ""),
        element("small", {}, facts.filter(Boolean).join("  ·  "))));
  }

  function picture(row, alternative) {
    if (!row.file) return [why(row)];
    const image = element("img", { src: path(row.file), alt: alternative, loading: "lazy", decoding: "async", draggable: "false" });
    image.addEventListener("error", () => image.replaceWith(element("span", { class: "why" }, element("strong", {}, "Picture not there"), row.file)));
    return [image];
  }

  function why(row) {
    const title = row.status === "success" ? "Picture not there" : WORDS[row.status];
    return element("span", { class: "why" }, element("strong", {}, title), row.reason || "");
  }

  // Why the row cost nothing: in short and at length.
  function sharing(row) {
    if (row.same_as) return [`same as row ${count(row.same_as)}`, `The same picture as row ${count(row.same_as)}, paid for once.`];
    if (row.paid_by) return ["already paid for", `Asked for before, in batch ${row.paid_by}, and not paid for again.`];
    return null;
  }

  function sizeOf(row) {
    return row.width && `${row.width}×${row.height}`;
  }

  // ---- one row, large

  function open(place) {
    opened = place;
    const row = shown[place];
    byId("position").textContent = `${count(place + 1)} of ${count(shown.length)}`;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === shown.length - 1;
    byId("stage").className = `stage is-${row.status}`;
    byId("stage").replaceChildren(...picture(row, row.prompt || title(row)));
    byId("detail-name").textContent = title(row);
    byId("detail-status").replaceChildren(element("span", { class: `badge ${row.status}` }, WORDS[row.status]),
      sharing(row) ? element("span", {}, `  ${sharing(row)[1]}`) : "");
    byId("detail-prompt").textContent = row.prompt || "";
    byId("detail-actions").replaceChildren(...actions(row));
    byId("detail-facts").replaceChildren(...facts(row));
    if (!detail.open) detail.showModal();
    byId("panel-body").scrollTop = 0;
  }

  function actions(row) {
    const made = [];
    if (row.file) made.push(element("a", { class: "quiet", href: path(row.file), target: "_blank" }, "Open picture"));
    if (row.prompt && navigator.clipboard) {
      const copy = element("button", { type: "button", class: "quiet" }, "Copy prompt");
      copy.addEventListener("click", () => navigator.clipboard.writeText(row.prompt).then(() => { copy.textContent = "Copied"; }));
      made.push(copy);
    }
    return made;
  }

  function facts(row) {
    const known = [
      ["Reason", row.file ? "" : row.reason], ["Error", row.error_class], ["Row", count(row.row)], ["Line", row.line && count(row.line)],
      ["Not wanted", row.negative_prompt], ["Model", row.model], ["Size", sizeOf(row)], ["Seed", row.seed],
      ["Cost", row.cost_usd != null && dollars(row.cost_usd)], ["Calls", row.attempts],
      ["Time", row.latency_ms && `${(row.latency_ms / 1000).toFixed(1)} s`], ["File", row.file], ["SHA-256", row.sha256],
    ].filter(([, value]) => value);
    const own = Object.entries(row.columns || {});
    const line = ([label, value]) => [element("dt", {}, label), element("dd", {}, String(value))];
    return [...known.flatMap(line), ...(own.length ? [element("div", { class: "rule" })] : []), ...own.flatMap(line)];
  }

  function step(by) {
    const place = opened + by;
    if (place >= 0 && place < shown.length) open(place);
  }

  // ---- moving about

  const headroom = () => document.querySelector(".tools").offsetHeight + 12; // what lies over the top of the view

  function focus(place) {
    active = Math.min(Math.max(place, 0), shown.length - 1);
    const y = grid.offsetTop + Math.floor(active / columns) * lineHeight;
    if (y < scrollY + headroom()) scrollTo(0, y - headroom());
    else if (y + lineHeight > scrollY + innerHeight) scrollTo(0, y + lineHeight - innerHeight);
    refresh();
    cards.get(active)?.firstChild.focus({ preventScroll: true });
  }

  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(innerHeight / lineHeight)) * columns;
    const moves = {
      ArrowLeft: active - 1, ArrowRight: active + 1, ArrowUp: active - columns, ArrowDown: active + columns,
      Home: 0, End: shown.length - 1, PageUp: active - page, PageDown: active + page,
    };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    focus(moves[event.key]);
  });
  grid.addEventListener("focusin", (event) => {
    const item = event.target.closest("li");
    if (item) active = Number(item.getAttribute("aria-posinset")) - 1;
  });
  detail.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  detail.addEventListener("close", () => focus(opened));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => detail.close());
  byId("search").addEventListener("input", (event) => {
    words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    select();
  });
  byId("clear").addEventListener("click", () => {
    filter = "all";
    words = [];
    byId("search").value = "";
    select();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input") || detail.open) return;
    event.preventDefault();
    byId("search").focus();
  });
  addEventListener("scroll", refresh, { passive: true });
  let lastWidth = 0;
  new ResizeObserver(() => {
    if (grid.clientWidth !== lastWidth) placeCards();
    lastWidth = grid.clientWidth;
  }).observe(grid);

  // ---- light and dark: the system's until somebody says otherwise

  const remembered = (value) => {
    try {
      return value ? localStorage.setItem("imagebatch-theme", value) : localStorage.getItem("imagebatch-theme");
    } catch {
      return null; // a page opened from a folder may not be allowed to remember
    }
  };
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    byId("theme").textContent = dark() ? "Light" : "Dark";
  }
  byId("theme").addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    remembered(theme);
    setTheme(theme);
  });

  for (const row of rows) row.haystack = [row.name, row.prompt, row.row, row.reason, row.seed].join(" ").toLowerCase();
  for (const part of document.querySelectorAll("header, nav, main, footer")) part.hidden = false;
  setTheme(remembered());
  fillHead();
  fillTools();
  select();
})();
