// The light table: a card for every frame at once, filled in while the model rates; picks and stars by key; what a
// person said stays in this tab of the browser only. Loaded after table.js and desk.js; every value becomes text.
(() => {
  "use strict";

  const RUN = "q-insight-run", PICKS = "q-insight-picks-";
  const VIEWS = ["grid", "film", "list"], SORTS = ["rating", "name", "time"], STATES = ["all", "picked", "rejected", "undecided", "look"];
  const HEAPS = { accept: "▲", reject: "▼", look: "◆" }; // the app's, where it knows how far ratings can be trusted
  const NUMBER = 0, ID = 1, NAME = 2, TAKEN = 3, SETTINGS = 4; // of a frame
  const set = qi.settings, t = (key, value = "") => qi.word(key).replace("@", value);
  let run = "", key = "", frames = [], rows = [], kinds = [], marks = {}, undo = [], opened = new Set(), compare = [], pair = [];
  let fault = set.kind ?? "all", state = "all", at = 0, cards = [], order = [], told = "", chosen = false, taken = "", warned = false, due = 0, sure = null, asking = 0;
  const low = () => set.low ?? 1, high = () => set.high ?? 5.05, view = () => set.view ?? "grid", sort = () => set.sort ?? "rating";

  const { element, h } = qi;
  const running = () => element("rank-stop")?.disabled === false;
  const button = (text, click, given = {}) => h("button", { type: "button", click, ...given }, text);
  const picture = (place, kind) => `gradio_api/photo/${frames[place][NUMBER]}/${kind}`;

  // --- what a person said, and what the sliders would say ---
  const mark = place => marks[frames[place][ID]] ?? [null, null];
  function verdict(place) {
    const [flag, stars] = mark(place), row = rows[place];
    if (flag || row?.rating == null) return flag ?? "undecided";
    if (row.rating < low() && !row.bracket && !stars) return "rejected";
    return row.rating >= high() ? "picked" : "undecided";
  }

  // The bound on what may be wrong in a heap, and from which rating a photo is good: the picking slider's.
  const bounded = () => sure && set.bound && high() <= 5;
  const wanted = () => bounded() ? [set.bound, high()] : [0, 0];
  const eyes = place => bounded() && rows[place]?.heap === "look" && !mark(place).some(Boolean);
  function ask() {
    clearTimeout(asking);
    if (sure && String(sure.asked ?? "0,0") !== String(wanted())) asking = setTimeout(() => element("rank-sure")?.click(), 300);
  }

  function say(places, change) {
    undo.push(places.map(place => [frames[place][ID], marks[frames[place][ID]]]));
    for (const place of places) marks[frames[place][ID]] = change(mark(place));
    keep();
    draw();
    qi.aloud(`${frames[places[0]][NAME]}: ${t(mark(places[0])[0] ?? "undecided")} ${"★".repeat(mark(places[0])[1] ?? 0)}`);
  }

  function back() {
    const before = undo.pop();
    for (const [id, was] of before ?? []) if (was) marks[id] = was; else delete marks[id];
    keep();
    draw();
    const place = before ? frames.findIndex(frame => frame[ID] === before[0][0]) : -1;
    if (place >= 0) go(place);
  }

  function keep() {
    try { sessionStorage.setItem(PICKS + run, JSON.stringify(marks)); } catch { forgetful(); }
  }
  function remembered(name) {
    try { return sessionStorage.getItem(name); } catch { forgetful(); return null; }
  }
  function forgetful() { // said once; all works as before
    if (!warned && frames.length) qi.note("no_memory");
    warned ||= frames.length > 0;
  }

  // One tab goes on with a run: the copy of a tab, which has the same memory, begins its own.
  const alone = name => !navigator.locks ? true : new Promise(done => navigator.locks.request(
    `q-insight-${name}`, { ifAvailable: true }, lock => { done(Boolean(lock)); return lock && new Promise(() => {}); }));
  async function kept() {
    const found = remembered(RUN);
    if (!found) return null;
    key = found;
    for (let tries = 0; tries < 6; tries++) { // the page that was here a moment ago may still hold it
      if (await alone(found)) return found;
      await new Promise(done => setTimeout(done, 250));
    }
    return null;
  }

  // --- what is to be rated ---
  let asked = "", coming = false, wish = false; // for the last time; files are on their way; Rate all was pressed before they came
  addEventListener("change", ({ target }) => { coming ||= target.type === "file" && Boolean(target.closest("#rank-files")); }, true);

  function rate(given) {
    wish = coming && !wish;
    if (wish) qi.note("files_coming");
    asked = JSON.stringify(given);
    return [wish ? { number: 0 } : qi.turn("rank", true), ...given];
  }

  // Other files are there. That those are which are being rated may be heard of later than the button.
  function others(given) {
    const known = JSON.stringify(given) === asked && running();
    if (wish && coming) setTimeout(() => element("rank")?.click(), 100);
    coming = false;
    return [known ? { number: 0 } : qi.turn("rank", false), ...given];
  }

  // --- what comes from the server ---
  function news(value) {
    const shown = qi.part("rank", "rank-news", value);
    const mine = Array.isArray(shown?.frames) ? shown : { frames: [], rows: [], kinds: [], run: "", key: "" };
    if (mine.frames[0]?.[NUMBER] !== frames[0]?.[NUMBER] || mine.frames.length !== frames.length) lay(mine);
    [rows, kinds, sure] = [mine.rows, mine.kinds, mine.sure];
    later();
    return "";
  }

  function lay(shown) {
    [frames, run] = [shown.frames, shown.run];
    [undo, compare, order, at, opened, chosen] = [[], [], [], 0, new Set(), false];
    if (shown.key && shown.key !== key) alone(key = shown.key);
    try { if (key) sessionStorage.setItem(RUN, key); } catch {}
    marks = {};
    try { marks = JSON.parse(remembered(PICKS + run)) ?? {}; } catch {}
    cards = frames.map((frame, place) => h("div", { class: "qi-card", role: "option", tabindex: -1, "data-at": place },
      h("img", { src: picture(place, "small"), alt: "", loading: "lazy", decoding: "async" }),
      h("b"), h("span"), h("em"), h("small", {}, frame[NAME]), h("u")));
    list.replaceChildren();
  }

  function take(value) {
    if (value?.number && value.number !== taken) {
      taken = value.number;
      h("a", { href: `gradio_api/photo/${taken}/file`, download: value.name }).click();
    }
    return "";
  }

  // --- the order of the cards: bursts and brackets folded under their best frame ---
  const rated = place => rows[place]?.rating ?? -1;
  const SORTED = {
    rating: (a, b) => rated(b) - rated(a) || SORTED.name(a, b),
    name: (a, b) => frames[a][NAME].localeCompare(frames[b][NAME], "en", { numeric: true }),
    time: (a, b) => (frames[a][TAKEN] || "9999").localeCompare(frames[b][TAKEN] || "9999") || SORTED.name(a, b),
  };
  const fits = place => (fault === "all" || rows[place]?.fault === fault) && (state === "all" || (state === "look" ? eyes(place) : verdict(place) === state));
  const group = place => rows[place]?.group ?? `-${place}`;
  const alike = place => frames.map((_, other) => other).filter(other => group(other) === group(place));

  function ordered() {
    const groups = new Map();
    for (const place of frames.keys()) if (fits(place)) groups.set(group(place), [...groups.get(group(place)) ?? [], place]);
    const heads = [...groups.values()].map(all => all.sort((a, b) => Boolean(rows[b]?.best) - Boolean(rows[a]?.best) || SORTED[sort()](a, b)));
    return heads.sort(([a], [b]) => SORTED[sort()](a, b)).flatMap(all => opened.has(group(all[0])) ? all : all.slice(0, 1));
  }

  // --- drawing ---
  const list = h("div", { class: "qi-cards", role: "listbox", "aria-multiselectable": "true", tabindex: -1 });
  const bar = h("div", { class: "qi-bar" }), counts = h("p", { class: "qi-counts" }), far = h("progress"), none = h("p", { class: "qi-none" });
  const look = h("aside", { class: "qi-look" }), large = h("div", { class: "qi-large" });
  const root = h("div", { class: "qi-shoot" }, bar, none, h("div", { class: "qi-two" }, list, look));
  const sizes = new Map(); // of groups

  function later() {
    due ||= setTimeout(() => { due = 0; draw(); }, 50);
  }

  function mount() {
    const place = element("rank-table");
    if (!place) return;
    if (root.parentNode !== place) place.append(root);
    const found = element("contest");
    found?.toggleAttribute("data-gone", !frames.some(frame => frame[NUMBER] === found.querySelector("[data-frame]")?.dataset.frame));
    if (told !== qi.word("ranking")) chrome();
  }

  function chrome() { // in the language of the page
    told = qi.word("ranking");
    list.ariaLabel = told;
    look.ariaLabel = t("look");
    const choice = (name, all, now, choose) => h("div", { class: "qi-choice", role: "group", "aria-label": t(name) },
      ...all.map(one => button(t(`${name}_${one}`), () => { choose(one); draw(); }, { "data-choice": name, "data-one": one })));
    const slider = (name, text, max, change) => h("label", {}, text, h("input", { type: "range", min: 1, max, step: 0.05, "data-slider": name,
      input: event => { qi.keep({ [name]: Number(event.target.value) }); change(); } }), h("output"));
    bar.replaceChildren(counts, far,
      choice("view", VIEWS, view(), one => qi.keep({ view: one })),
      choice("sort", SORTS, sort(), one => qi.keep({ sort: one })),
      slider("low", t("reject_below"), 5, draw), slider("high", t("pick_from"), 5.05, draw),
      h("div", { class: "qi-choice", "data-sure": "" }, h("label", {}, t("at_most_wrong"), h("select", { change: event => { qi.keep({ bound: Number(event.target.value) }); draw(); } },
        ...[0, 2, 5, 10, 20].map(one => h("option", { value: one / 100 }, one ? `${one} / 100` : "–")))), h("output"),
        h("details", { class: "qi-why" }, h("summary", {}, "?", h("span", { class: "qi-unseen" }, t("what_heaps"))), h("p", {}, t("heaps_are")), h("p"))),
      choice("state", STATES, state, one => { state = one; }),
      h("div", { class: "qi-choice qi-faults", role: "group", "aria-label": t("degradation") }, h("span", {}, t("degradation"))));
    draw();
  }

  function draw() {
    mount();
    if (!told) return;
    root.dataset.view = view();
    root.toggleAttribute("data-empty", !frames.length);
    element("rank-exports")?.toggleAttribute("data-empty", !frames.length);
    sizes.clear();
    for (const place of frames.keys()) sizes.set(group(place), (sizes.get(group(place)) ?? 0) + 1);
    const busy = running() && list.contains(document.activeElement);
    const wanted = busy && order.length ? order : ordered();
    if (wanted.length !== list.children.length || wanted.some((place, number) => list.children[number] !== cards[place])) {
      const had = list.contains(document.activeElement);
      list.replaceChildren(...wanted.map(place => cards[place]));
      if (had) go(wanted.includes(at) ? at : wanted[Math.min(order.indexOf(at), wanted.length - 1)]);
    }
    order = wanted;
    for (const place of order) paint(place);
    if (!order.includes(at) || !chosen) at = order[0] ?? 0;
    for (const card of cards) card.tabIndex = card === cards[at] ? 0 : -1;
    summary();
    detail();
  }

  function paint(place) {
    const card = cards[place], row = rows[place], [flag, stars] = mark(place), now = verdict(place), size = sizes.get(group(place));
    const badge = size > 1 ? t(row.bracket ? "bracket_of" : "alike", size) : "";
    const seen = JSON.stringify([row?.rating, row?.word, row?.error, now, flag, stars, badge, compare.indexOf(place), told, bounded() && row?.heap]);
    if (card.seen === seen) return;
    card.seen = seen;
    const heap = bounded() && row?.heap ? `${HEAPS[row.heap]} ${t(`heap_${row.heap}`)}` : "";
    const parts = [row?.rating?.toFixed(1) ?? (row ? "–" : "…"), row ? row.error || row.word : t("unrated"),
      `${heap} ${now === "undecided" ? "" : now === "picked" ? "P " : "X "}${"★".repeat(stars ?? 0)}`.trim(), frames[place][NAME],
      compare.includes(place) ? "ABCD"[compare.indexOf(place)] : badge];
    ["b", "span", "em", "small", "u"].forEach((tag, number) => { card.querySelector(tag).textContent = parts[number]; });
    Object.assign(card.dataset, { verdict: now, by: flag ? "person" : "slider" });
    card.toggleAttribute("data-waiting", !row);
    card.ariaSelected = compare.includes(place);
    card.ariaLabel = [parts[3], parts[0], parts[1], heap, t(now), stars ? `${stars} ★` : "", badge].filter(Boolean).join(", ");
  }

  function summary() {
    const all = [...frames.keys()], count = wish => all.filter(wish).length;
    const picks = count(place => verdict(place) === "picked"), rejects = count(place => verdict(place) === "rejected");
    counts.replaceChildren(h("b", {}, String(all.length)), ` ${t("n_photos")} · `, h("b", {}, String(count(place => rows[place]))), ` ${t("n_rated")} · `,
      h("b", {}, String(picks)), ` ${t("picked")} · `, h("b", {}, String(rejects)), ` ${t("rejected")}`);
    Object.assign(far, { hidden: !running(), max: all.length || 1, value: count(place => rows[place]), ariaLabel: t("n_rated") });
    for (const one of bar.querySelectorAll("[data-choice]"))
      one.ariaPressed = one.dataset.one === { view: view(), sort: sort(), state }[one.dataset.choice];
    for (const [name, value, divides, number] of [["low", low(), low() > 1, count(place => rated(place) >= 0 && rated(place) < low() && !rows[place].bracket)],
      ["high", high(), high() <= 5, count(place => rated(place) >= high())]]) {
      const slider = bar.querySelector(`[data-slider=${name}]`);
      if (document.activeElement !== slider) slider.value = value;
      slider.nextSibling.textContent = divides ? `${value.toFixed(2)} · ${number}` : "–";
    }
    const eyed = count(eyes), choose = bar.querySelector("[data-sure]");
    choose.hidden = !sure;
    choose.querySelector("select").value = set.bound ?? 0;
    choose.querySelector("output").textContent = !set.bound ? "" : bounded() ? `${HEAPS.look} ${eyed}` : t("good_first");
    choose.querySelector("p + p").textContent = sure?.holds ?? "";
    bar.querySelector("[data-one=look]").hidden = !bounded();
    bar.querySelector("[data-one=look]").textContent = `${t("state_look")} ${eyed}`;
    if (state === "look" && !bounded()) { state = "all"; later(); }
    ask();
    const faults = bar.querySelector(".qi-faults"), focused = document.activeElement?.dataset?.fault;
    faults.replaceChildren(faults.firstChild, ...kinds.map(([kind, text]) => button(
      kind === "all" ? text : `${text} ${count(place => rows[place]?.fault === kind)}`,
      () => { fault = kind; qi.keep({ kind }); draw(); }, { "data-fault": kind, "aria-pressed": kind === fault })));
    if (focused) faults.querySelector(`[data-fault=${focused}]`)?.focus();
    none.replaceChildren(...frames.length && !order.length ? [`${t("none_match", all.length)} `,
      button(t("clear_filter"), () => { fault = state = "all"; qi.keep({ kind: "all" }); draw(); })] : []);
  }

  let detailed = "", checked, reasoning;
  const name = () => `${frames[at][NUMBER]} ${rows[at]?.text.length} ${told}`;

  function detail() {
    const frame = frames[at], row = rows[at];
    const seen = frame && JSON.stringify([frame, row, mark(at), told, undo.length, compare.length, verdict(at), checked, view()]);
    if (!frame || seen === detailed) return;
    detailed = seen;
    clearTimeout(reasoning);
    if (row?.text && checked !== name()) reasoning = setTimeout(() => element("rank-why")?.click(), 300);
    if (large.dataset.photo !== frame[NUMBER]) enlarge(frame);
    const star = count => button("★", () => say([at], ([flag]) => [flag, count]),
      { "aria-label": `${count} ★`, "aria-pressed": (mark(at)[1] ?? 0) >= count });
    const word = row?.error || (row ? `${row.rating?.toFixed(1) ?? "–"} · ${row.word}` : t("unrated"));
    look.replaceChildren(large, h("h2", {}, word), h("p", { class: "qi-facts" }, [frame[NAME], frame[TAKEN].replace("T", " ").slice(0, 19), frame[SETTINGS]].filter(Boolean).join(" · ")),
      h("meter", { min: 1, max: 5, low: 2.6, high: 3.4, optimum: 5, value: row?.rating ?? 1, "aria-label": t("quality_rating"), ...row?.rating ? {} : { hidden: "" } }),
      h("p", { class: "qi-acts" }, button(t(view() === "film" ? "view_grid" : "look"), KEYS[" "], { class: "qi-turn" }), ...["picked", "rejected", "clear"].map(one => button(t(`do_${one}`), () => flag(one),
        { "aria-pressed": mark(at)[0] === one })), ...[1, 2, 3, 4, 5].map(star),
        ...sizes.get(group(at)) > 1 ? [button(t("burst"), unfold)] : [],
        ...sizes.get(group(at)) > 1 && !row.bracket ? [button(t("which_best"), () => {
          element("contest-ask")?.click();
          element("contest-place")?.scrollIntoView({ block: "center" });
        })] : [],
        button(t("to_compare", compare.length || ""), compareNow), ...undo.length ? [button(t("undo"), back)] : []),
      h("blockquote", { tabindex: 0 }, ...checked === name() ? element("rank-reasons").querySelector("[hidden]").cloneNode(true).childNodes : [row?.text ?? ""]), h("p", { class: "qi-facts" }, row?.remark ?? ""), h("p", { class: "qi-facts qi-keys" }, t("shoot_keys")));
  }

  // The reasons of the frame in view once the pixels were asked: drawn where nobody sees them, copied from there.
  function reasons(value) {
    checked = value?.of;
    later();
    return `<div hidden>${(value?.both ?? []).map(qi.claims).join("")}</div>`;
  }

  let loading;
  function enlarge(frame) {
    const place = frames.indexOf(frame), shown = h("img", { src: picture(place, "small"), alt: frame[NAME] });
    large.qiView?.end();
    delete large.qiView;
    large.className = "qi-large";
    large.dataset.photo = frame[NUMBER];
    large.replaceChildren(shown);
    clearTimeout(loading); // not of those that are only passed by
    loading = setTimeout(() => { shown.src = picture(place, "large"); }, 150);
  }

  // --- keys, alive while a card has the focus ---
  function go(place, focus = true) {
    if (cards[place] === undefined) return;
    [at, chosen] = [place, true];
    for (const card of cards) card.tabIndex = card === cards[at] ? 0 : -1;
    if (focus) cards[place].focus({ preventScroll: true });
    cards[place].scrollIntoView({ block: "nearest", inline: "nearest" });
    detail();
  }
  const step = by => go(order[Math.min(order.length - 1, Math.max(0, order.indexOf(at) + by))]);
  const across = () => view() === "grid" ? Math.max(1, order.filter(place => cards[place].offsetTop === cards[order[0]].offsetTop).length) : 1;
  const whole = () => rows[at]?.bracket && !opened.has(group(at)) ? alike(at) : [at];
  function flag(wish) {
    const next = order[order.indexOf(at) + 1], focused = list.contains(document.activeElement);
    say(whole(), ([, stars]) => wish === "clear" ? [null, null] : [wish, stars]);
    if (focused && next !== undefined) go(order.includes(next) ? next : order[0]);
  }
  function unfold() {
    if (!opened.delete(group(at))) opened.add(group(at));
    draw();
  }
  function choose(place) {
    compare = compare.includes(place) ? compare.filter(one => one !== place) : [...compare, place].slice(-4);
    draw();
  }
  function compareNow() {
    if (compare.length < 2 || !compare.includes(at)) return choose(at);
    const [a, ...others] = compare; // A stays, while up to three more are paged in B
    const act = place => () => { pair = [a, place]; element("rank-compare")?.click(); };
    qi.film("photo-b", others.map(place => ({ name: frames[place][NAME], url: picture(place, "small"), act: act(place) })));
    document.querySelectorAll("#tabs [role=tab]")[1]?.click();
  }
  const KEYS = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(across()), ArrowUp: () => step(-across()),
    Home: () => step(-order.length), End: () => step(order.length),
    p: () => flag("picked"), x: () => flag("rejected"), u: () => flag("clear"), b: unfold, c: compareNow,
    " ": () => { qi.keep({ view: view() === "film" ? "grid" : "film" }); draw(); go(at); },
    z: () => large.qiView ? qiLoupe.act("z") : qiLoupe.mount(large),
  };

  list.addEventListener("keydown", event => {
    if (set.keys === false || event.altKey || event.metaKey || event.isComposing || !event.target.closest(".qi-card")) return;
    const letter = qi.letter(event), name = letter.length > 1 ? letter : letter.toLowerCase(), moves = name.startsWith("Arrow");
    const act = event.ctrlKey ? name === "z" && back : /^[1-5]$/.test(name) ? () => say(whole(), ([flag]) => [flag, Number(name)]) : KEYS[name];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere on the page X swaps, N and P turn pages
    if (moves || !event.repeat) act();
  });
  list.addEventListener("focusin", event => { const card = event.target.closest(".qi-card"); if (card) go(Number(card.dataset.at), false); });
  list.addEventListener("click", event => {
    const card = event.target.closest(".qi-card");
    if (!card) return;
    go(Number(card.dataset.at));
    if (event.ctrlKey || event.shiftKey || event.metaKey) choose(at);
  });
  addEventListener("click", event => { // a frame of a tournament
    const place = frames.findIndex(frame => frame[NUMBER] === event.target.closest?.("[data-frame]")?.dataset.frame);
    if (place < 0) return;
    opened.add(group(place));
    draw();
    go(place);
  });
  list.addEventListener("error", event => event.target.toggleAttribute("data-broken", true), true);
  list.addEventListener("dblclick", () => KEYS[" "]());

  const before = qi.refresh;
  qi.refresh = () => { before(); mount(); };
  qi.shoot = {
    news, take, key: kept, rate, others, reasons,
    wondered: () => [at, name()],
    said: () => ({ marks, low: low(), high: high(), sure: wanted() }),
    alike: () => alike(at).map(place => frames[place][NUMBER]),
    compared: () => pair.map(place => frames[place][NUMBER]),
  };
})();
