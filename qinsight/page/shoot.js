// The light table: a card for every frame at once, filled in while the model rates; picks and stars by key.
// Loaded after cull.js, which knows what there is to draw; every value becomes text.
(() => {
  "use strict";

  const VIEWS = ["grid", "film", "list"], SORTS = ["rating", "name", "time"];
  const STATES = ["all", "picked", "rejected", "undecided", "look"];
  const HEAPS = { accept: "▲", reject: "▼", look: "◆" }; // of the app, where it knows what ratings are worth
  const SIGNS = { picked: "P ", rejected: "X ", undecided: "" };
  const { cull, element, h, settings, keep } = qi, t = (key, value = "") => qi.word(key).replace("@", value);

  let cards = [], order = []; // a card for each frame; the frames that are shown
  let at = 0, chosen = false; // the frame in view; whether a person went there
  let compare = [], pair = []; // frames on their way to Compare, and in it
  let told = "", due = 0, asking = 0, taken = ""; // the language of the page; timers; the export that was taken home

  const view = () => settings.view ?? "grid";
  const button = (text, click, given = {}) => h("button", { type: "button", click, ...given }, text);
  const picture = (place, kind) => `gradio_api/photo/${cull.frames[place].number}/${kind}`;
  const starred = count => "★".repeat(count ?? 0);

  // --- what comes from the server ---
  function news(value) {
    if (cull.take(qi.part("rank", "rank-news", value))) lay();
    later();
    return "";
  }

  function lay() {
    [compare, order, at, chosen] = [[], [], 0, false];
    cards = cull.frames.map(({ name }, place) =>
      h("div", { class: "qi-card", role: "option", tabindex: -1, "data-at": place },
        h("img", { src: picture(place, "small"), alt: "", loading: "lazy", decoding: "async" }),
        h("b"), h("span"), h("em"), h("small", {}, name), h("u")));
    list.replaceChildren();
  }

  function take(value) {
    if (value?.number && value.number !== taken) {
      taken = value.number;
      h("a", { href: `gradio_api/photo/${taken}/file`, download: value.name }).click();
    }
    return "";
  }

  // The server sorts into heaps: it is asked anew once the bound rests.
  function ask() {
    clearTimeout(asking);
    const { sure } = cull;
    if (sure && String(sure.asked ?? "0,0") !== String(cull.wanted()))
      asking = setTimeout(() => element("rank-sure")?.click(), 300);
  }

  // --- drawing ---
  const list = h("div", { class: "qi-cards", role: "listbox", "aria-multiselectable": "true", tabindex: -1 });
  const bar = h("div", { class: "qi-bar" }), counts = h("p", { class: "qi-counts" }), far = h("progress");
  const none = h("p", { class: "qi-none" });
  const look = h("aside", { class: "qi-look" }), large = h("div", { class: "qi-large" });
  const root = h("div", { class: "qi-shoot" }, bar, none, h("div", { class: "qi-two" }, list, look));
  const sizes = new Map(); // of groups
  new ResizeObserver(() => root.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);

  function later() {
    due ||= setTimeout(() => { due = 0; draw(); }, 50);
  }

  function mount() {
    const place = element("rank-table");
    if (!place) return;
    if (root.parentNode !== place) place.append(root);
    const contest = element("contest"), of = contest?.querySelector("[data-frame]")?.dataset.frame;
    contest?.toggleAttribute("data-gone", !cull.frames.some(frame => frame.number === of));
    if (told !== qi.word("ranking")) chrome();
  }

  // The bar, in the language of the page.
  function chrome() {
    told = qi.word("ranking");
    list.ariaLabel = told;
    look.ariaLabel = t("look");
    bar.replaceChildren(counts, far,
      choice("view", VIEWS, see),
      choice("sort", SORTS, one => keep({ sort: one })),
      slider("low", t("reject_below"), 5), slider("high", t("pick_from"), 5.05),
      bounds(),
      choice("state", STATES, one => { cull.state = one; }),
      h("div", { class: "qi-choice qi-faults", role: "group", "aria-label": t("degradation") },
        h("span", {}, t("degradation"))));
    draw();
  }

  function choice(name, all, choose) {
    const made = all.map(one =>
      button(t(`${name}_${one}`), () => { choose(one); draw(); }, { "data-choice": name, "data-one": one }));
    return h("div", { class: "qi-choice", role: "group", "aria-label": t(name) }, ...made);
  }

  function slider(name, text, max) {
    const input = event => { keep({ [name]: Number(event.target.value) }); draw(); };
    const range = h("input", { type: "range", min: 1, max, step: 0.05, "data-slider": name, input });
    return h("label", {}, text, range, h("output"));
  }

  // How much of a heap may be wrong.
  function bounds() {
    const change = event => { keep({ bound: Number(event.target.value) }); draw(); };
    const options = [0, 2, 5, 10, 20].map(one => h("option", { value: one / 100 }, one ? `${one} / 100` : "–"));
    const term = h("summary", {}, "?", h("span", { class: "qi-unseen" }, t("what_heaps")));
    return h("div", { class: "qi-choice", "data-sure": "" },
      h("label", {}, t("at_most_wrong"), h("select", { change }, ...options)), h("output"),
      h("details", { class: "qi-why" }, term, h("p", {}, t("heaps_are")), h("p")));
  }

  // `anew`: in another order than the one in which a person has the cards before them.
  function draw(anew = false) {
    mount();
    if (!told) return;
    root.dataset.view = view();
    for (const place of [root, element("rank-exports")]) place?.toggleAttribute("data-empty", !cull.frames.length);
    sizes.clear();
    for (const place of cull.frames.keys()) sizes.set(cull.group(place), (sizes.get(cull.group(place)) ?? 0) + 1);
    arrange(anew);
    for (const place of order) paint(place);
    if (!order.includes(at) || !chosen) at = order[0] ?? 0;
    reach();
    summary();
    detail();
  }

  // Cards lie still under a person's hand while the model rates.
  function arrange(anew) {
    const held = list.contains(document.activeElement), lies = list.children;
    const wanted = held && !anew && cull.running() && order.length ? order : cull.ordered();
    if (wanted.length !== lies.length || wanted.some((place, number) => lies[number] !== cards[place])) {
      list.replaceChildren(...wanted.map(place => cards[place]));
      if (held && !wanted.length) list.focus();
      if (held) go(wanted.includes(at) ? at : wanted[Math.min(order.indexOf(at), wanted.length - 1)]);
    }
    order = wanted;
  }

  const reach = () => { for (const card of cards) card.tabIndex = card === cards[at] ? 0 : -1; };

  function paint(place) {
    const card = cards[place], row = cull.rows[place], [flag, stars] = cull.mark(place), verdict = cull.verdict(place);
    const size = sizes.get(cull.group(place)), heaped = cull.bounded() && row?.heap, sent = compare.indexOf(place);
    const known = [row?.rating, row?.word, row?.error, row?.bracket], said = [verdict, flag, stars];
    const seen = JSON.stringify([known, said, size, heaped, sent, told]);
    if (card.seen === seen) return;
    card.seen = seen;
    const badge = size > 1 ? t(row.bracket ? "bracket_of" : "alike", size) : "";
    const heap = heaped ? `${HEAPS[heaped]} ${t(`heap_${heaped}`)}` : "";
    const { name } = cull.frames[place], rating = row?.rating?.toFixed(1) ?? (row ? "–" : "…");
    const word = row ? row.error || row.word : t("unrated");
    const signs = `${heap} ${SIGNS[verdict]}${starred(stars)}`.trim();
    const parts = { b: rating, span: word, em: signs, small: name, u: sent >= 0 ? "ABCD"[sent] : badge };
    for (const [tag, text] of Object.entries(parts)) card.querySelector(tag).textContent = text;
    if (row && !row.error) seek(card);
    Object.assign(card.dataset, { verdict, by: flag ? "person" : "slider" });
    card.toggleAttribute("data-waiting", !row);
    card.ariaSelected = sent >= 0;
    card.ariaLabel = [name, rating, word, heap, t(verdict), stars && `${stars} ★`, badge].filter(Boolean).join(", ");
  }

  // A picture that did not come is asked for once more: it may have been the network.
  function seek(card) {
    const picture = card.querySelector("img[data-broken]");
    if (picture) picture.src = picture.src;
  }

  // --- the bar: what there is, and what the sliders would do ---
  function summary() {
    const all = [...cull.frames.keys()], count = wish => all.filter(wish).length;
    const rated = count(place => cull.rows[place]), is = wish => count(place => cull.verdict(place) === wish);
    const numbers = [[all.length, t("n_photos")], [rated, t("n_rated")],
      [is("picked"), t("picked")], [is("rejected"), t("rejected")]];
    counts.replaceChildren(...numbers.flatMap(([number, what], before) =>
      [before ? " · " : "", h("b", {}, String(number)), ` ${what}`]));
    Object.assign(far, { hidden: !cull.running(), max: all.length || 1, value: rated, ariaLabel: t("n_rated") });
    const now = { view: view(), sort: settings.sort ?? "rating", state: cull.state };
    for (const made of bar.querySelectorAll("[data-choice]"))
      made.ariaPressed = made.dataset.one === now[made.dataset.choice];
    thresholds(count);
    heaps(count(cull.doubtful));
    faults(count);
    const empty = [`${t("none_match", all.length)} `, button(t("clear_filter"), unfiltered)];
    none.replaceChildren(...all.length && !order.length ? empty : []);
  }

  function thresholds(count) {
    const low = cull.low(), high = cull.high();
    const below = place => cull.rating(place) >= 0 && cull.rating(place) < low && !cull.rows[place].bracket;
    const shown = [["low", low, low > 1, below], ["high", high, high <= 5, place => cull.rating(place) >= high]];
    for (const [name, value, divides, meant] of shown) {
      const slider = bar.querySelector(`[data-slider=${name}]`);
      if (document.activeElement !== slider) slider.value = value;
      slider.nextSibling.textContent = divides ? `${value.toFixed(2)} · ${count(meant)}` : "–";
    }
  }

  function heaps(doubtful) {
    const place = bar.querySelector("[data-sure]"), state = bar.querySelector("[data-one=look]");
    const bounded = cull.bounded();
    place.hidden = !cull.sure;
    place.querySelector("select").value = settings.bound ?? 0;
    const told = bounded ? `${HEAPS.look} ${doubtful}` : t("good_first");
    place.querySelector("output").textContent = settings.bound ? told : "";
    place.querySelector("p + p").textContent = cull.sure?.holds ?? "";
    state.hidden = !bounded;
    state.textContent = `${t("state_look")} ${doubtful}`;
    if (cull.state === "look" && !bounded) {
      cull.state = "all";
      later();
    }
    ask();
  }

  function faults(count) {
    const place = bar.querySelector(".qi-faults"), focused = document.activeElement?.dataset?.fault;
    const number = kind => kind === "all" ? "" : ` ${count(place => cull.rows[place]?.fault === kind)}`;
    const filter = kind => { cull.fault = kind; keep({ kind }); draw(); };
    const fault = ([kind, text]) =>
      button(text + number(kind), () => filter(kind), { "data-fault": kind, "aria-pressed": kind === cull.fault });
    place.replaceChildren(place.firstChild, ...cull.kinds.map(fault));
    if (focused) place.querySelector(`[data-fault=${focused}]`)?.focus();
  }

  function unfiltered() {
    cull.fault = cull.state = "all";
    keep({ kind: "all" });
    draw();
  }

  // --- the frame in view: large, with its reasoning ---
  let detailed = "", checked, reasoning;
  const reasoned = () => `${cull.frames[at].number} ${cull.rows[at]?.text.length} ${told}`;

  function detail() {
    const frame = cull.frames[at], row = cull.rows[at];
    const said = frame && [cull.mark(at), cull.verdict(at), cull.undone.length, compare.length];
    const seen = frame && JSON.stringify([frame, row, said, told, checked, view()]);
    if (!frame || seen === detailed) return;
    detailed = seen;
    clearTimeout(reasoning);
    if (row?.text && checked !== reasoned()) reasoning = setTimeout(() => element("rank-why")?.click(), 300);
    if (large.dataset.photo !== frame.number) enlarge(frame);
    const facts = [frame.name, frame.taken.replace("T", " ").slice(0, 19), frame.exposure];
    const word = row?.error || (row ? `${row.rating?.toFixed(1) ?? "–"} · ${row.word}` : t("unrated"));
    const pressed = look.contains(document.activeElement) && document.activeElement.dataset.act;
    look.replaceChildren(large, h("h2", {}, word), h("p", { class: "qi-facts" }, facts.filter(Boolean).join(" · ")),
      meter(row?.rating), h("p", { class: "qi-acts" }, ...acts(row)),
      h("blockquote", { tabindex: 0 }, ...reasons(row)), h("p", { class: "qi-facts" }, row?.remark ?? ""),
      h("p", { class: "qi-facts qi-keys" }, t("shoot_keys")));
    if (pressed) (look.querySelector(`[data-act="${pressed}"]`) ?? cards[at]).focus({ preventScroll: true });
  }

  const meter = rating => h("meter", { min: 1, max: 5, low: 2.6, high: 3.4, optimum: 5, value: rating ?? 1,
    "aria-label": t("quality_rating"), hidden: rating ? undefined : "" });

  function acts(row) {
    const [flagged, stars] = cull.mark(at), folded = sizes.get(cull.group(at)) > 1;
    const flags = ["picked", "rejected", "clear"].map(wish =>
      act(wish, t(`do_${wish}`), () => flag(wish), { "aria-pressed": flagged === wish }));
    const star = count => act(count, "★", () => say([at], ([flag]) => [flag, count]),
      { "aria-label": `${count} ★`, "aria-pressed": (stars ?? 0) >= count });
    return [
      act("turn", t(view() === "film" ? "view_grid" : "look"), enlargeOrNot, { class: "qi-turn" }),
      act("full", t("loupe_full"), closer),
      ...flags, ...[1, 2, 3, 4, 5].map(star),
      folded && act("burst", t("burst"), unfold),
      folded && !row.bracket && button(t("which_best"), contest),
      act("compare", t("to_compare", compare.length || ""), compareNow),
      cull.undone.length && act("undo", t("undo"), back),
    ].filter(Boolean);
  }

  // After the mouse the keys are the cards' again; the keyboard finds its button anew.
  const act = (name, text, does, given) => button(text, event => {
    does();
    if (event.detail) cards[at]?.focus({ preventScroll: true });
  }, { "data-act": name, ...given });

  function contest() {
    element("contest-ask")?.click();
    element("contest-place")?.scrollIntoView({ block: "center" });
  }

  // The reasons once the pixels were asked are drawn where nobody sees them, and copied from there.
  const reasons = row => checked === reasoned()
    ? element("rank-reasons").querySelector("[hidden]").cloneNode(true).childNodes : [row?.text ?? ""];

  function checkedReasons(value) {
    checked = value?.of;
    later();
    return `<div hidden>${(value?.both ?? []).map(qi.claims).join("")}</div>`;
  }

  // Whoever looked closer at one frame sees the next one as close, at the same place.
  let loading, glass = null;
  function closer(point) {
    if (!large.offsetParent) see("film");
    if (large.qiView) return qiLoupe.act("z", large.qiView);
    glass ??= qiLoupe.glass();
    qiLoupe.mount(large, { shared: glass, close: { at: point } });
  }
  for (const wish of ["wheel", "dblclick", "touchstart"])
    large.addEventListener(wish, event => {
      if (large.qiView || event.deltaY > 0 || event.touches?.length === 1) return;
      event.preventDefault();
      const { left, top } = large.getBoundingClientRect(), { clientX, clientY } = event.touches?.[0] ?? event;
      closer([clientX - left, clientY - top]);
    }, { passive: false });

  function enlarge({ number, name }) {
    const place = at, shown = h("img", { src: picture(place, "small"), alt: name });
    large.qiView?.end();
    delete large.qiView;
    large.className = "qi-large";
    large.dataset.photo = number;
    large.replaceChildren(shown);
    clearTimeout(loading); // not of those that are only passed by
    loading = setTimeout(() => {
      if (glass && glass.times !== 1) qiLoupe.mount(large, { shared: glass });
      else shown.src = picture(place, "large");
    }, 150);
  }

  // --- what a person does ---
  function go(place, focus = true) {
    if (cards[place] === undefined) return;
    [at, chosen] = [place, true];
    reach();
    if (focus) cards[place].focus({ preventScroll: true });
    cards[place].scrollIntoView({ block: "nearest", inline: "nearest" });
    detail();
  }
  const step = by => go(order[Math.min(order.length - 1, Math.max(0, order.indexOf(at) + by))]);
  const edge = place => cards[place].offsetTop;
  const abreast = () => order.filter(place => edge(place) === edge(order[0])).length || 1;
  const across = () => view() === "grid" ? abreast() : 1;

  function say(places, change) {
    cull.say(places, change);
    draw();
    const [flag, stars] = cull.mark(places[0]);
    qi.aloud(`${cull.frames[places[0]].name}: ${t(flag ?? "undecided")} ${starred(stars)}`);
  }

  function back() {
    const place = cull.undo();
    draw();
    go(place);
  }

  const whole = () => cull.rows[at]?.bracket && !cull.opened.has(cull.group(at)) ? cull.alike(at) : [at];
  const star = count => say(whole(), ([flag]) => [flag, count]);
  function flag(wish) {
    const next = order[order.indexOf(at) + 1], focused = list.contains(document.activeElement);
    say(whole(), ([, stars]) => wish === "clear" ? [null, null] : [wish, stars]);
    if (focused && next !== undefined) go(order.includes(next) ? next : order[0]);
  }

  function unfold() {
    if (!cull.opened.delete(cull.group(at))) cull.opened.add(cull.group(at));
    draw(true);
  }

  function see(one) {
    keep({ view: one });
    draw();
    go(at, false);
  }

  function enlargeOrNot() {
    see(view() === "film" ? "grid" : "film");
    go(at);
  }

  function choose(place) {
    compare = compare.includes(place) ? compare.filter(one => one !== place) : [...compare, place].slice(-4);
    draw();
  }

  function compareNow() {
    if (compare.length < 2 || !compare.includes(at)) return choose(at);
    const [a, ...others] = compare; // A stays, while up to three more are paged in B
    const act = place => () => { pair = [a, place]; element("rank-compare")?.click(); };
    const frame = place => ({ name: cull.frames[place].name, url: picture(place, "small"), act: act(place) });
    qi.film("photo-b", others.map(frame));
    document.querySelectorAll("#tabs [role=tab]")[1]?.click();
  }

  // --- keys, alive while the focus is on the light table; what moves among the cards, while it is on one ---
  const KEYS = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1),
    ArrowDown: () => step(across()), ArrowUp: () => step(-across()),
    Home: () => step(-order.length), End: () => step(order.length),
    p: () => flag("picked"), x: () => flag("rejected"), u: () => flag("clear"), b: unfold, c: compareNow,
    ...Object.fromEntries([1, 2, 3, 4, 5].map(count => [count, () => star(count)])),
    " ": enlargeOrNot,
    z: () => closer(),
  };

  root.addEventListener("keydown", event => {
    const { ctrlKey, altKey, metaKey, isComposing, repeat, target } = event;
    if (settings.keys === false || altKey || isComposing || target.closest("input, select")) return;
    const letter = qi.letter(event), name = letter.length > 1 ? letter : letter.toLowerCase();
    const act = ctrlKey || metaKey ? name === "z" && back : KEYS[name];
    if (!act || (act !== back && !order.length) || (/^ |../.test(name) && !list.contains(target))) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere on the page X swaps, N and P turn pages
    if (!repeat || name.startsWith("Arrow")) act();
  });
  list.addEventListener("focusin", event => {
    const place = Number(event.target.closest(".qi-card")?.dataset.at ?? NaN);
    if (place !== at || !chosen) go(place, false);
  });
  list.addEventListener("click", event => {
    const card = event.target.closest(".qi-card");
    if (!card) return;
    go(Number(card.dataset.at));
    if (event.ctrlKey || event.shiftKey || event.metaKey) choose(at);
  });
  addEventListener("click", event => { // a frame of a tournament
    const number = event.target.closest?.("[data-frame]")?.dataset.frame;
    const place = cull.frames.findIndex(frame => frame.number === number);
    if (place < 0) return;
    cull.opened.add(cull.group(place));
    draw();
    go(place);
  });
  for (const end of ["error", "load"])
    list.addEventListener(end, event => event.target.toggleAttribute("data-broken", end === "error"), true);
  addEventListener("online", () => cards.forEach(seek));
  list.addEventListener("dblclick", enlargeOrNot);

  const before = qi.refresh;
  qi.refresh = () => {
    before();
    mount();
    if (told && far.hidden === cull.running()) later(); // it began, or it ended
  };
  qi.shoot = {
    news, take, reasons: checkedReasons,
    wondered: () => [at, reasoned()],
    alike: () => cull.alike(at).map(place => cull.frames[place].number),
    compared: () => pair.map(place => cull.frames[place].number),
  };
})();
