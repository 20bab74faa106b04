// A shoot as a person goes through it: its frames, what the server knows of each, what the person said of it, and the
// order of the cards. What was said stays in this tab of the browser. Draws nothing. Loaded after desk.js.
(() => {
  "use strict";

  const RUN = "q-insight-run", PICKS = "q-insight-picks";
  const { element, settings } = qi;
  const cull = {
    frames: [], rows: [], kinds: [], sure: null, // from the server; a frame is known by its place in the list
    undone: [], opened: new Set(), // what was said before the last words; groups that are unfolded
    fault: settings.kind ?? "all", state: "all", // of the frames that are shown
  };
  let key = "", warned = false, marks = {}; // of every photo that lay here, by its id

  const low = () => settings.low ?? 1, high = () => settings.high ?? 5.05;
  const running = () => element("rank-stop")?.disabled === false;

  // --- what a person said, and what the sliders would say ---
  const id = place => cull.frames[place].id;
  const mark = place => marks[id(place)] ?? [null, null];
  const rating = place => cull.rows[place]?.rating ?? -1;

  function verdict(place) {
    const [flag, stars] = mark(place), row = cull.rows[place];
    if (flag || row?.rating == null) return flag ?? "undecided";
    if (row.rating < low() && !row.bracket && !stars) return "rejected";
    const leads = row.group == null || row.best || row.bracket; // of a burst the slider picks the best
    return leads && row.rating >= high() ? "picked" : "undecided";
  }

  // The bound on what may be wrong in a heap, and from which rating a photo is good: the picking slider's.
  const bounded = () => cull.sure && settings.bound && high() <= 5;
  const wanted = () => bounded() ? [settings.bound, high()] : [0, 0];
  const doubtful = place => bounded() && cull.rows[place]?.heap === "look" && !mark(place).some(Boolean);

  function say(places, change) {
    cull.undone.push(places.map(place => [id(place), marks[id(place)]]));
    for (const place of places) marks[id(place)] = change(mark(place));
    keep();
  }

  const spoken = () => Object.fromEntries(cull.frames.filter(({ id }) => marks[id]).map(({ id }) => [id, marks[id]]));

  // The last words are taken back. Returns the first frame that they were about.
  function undo() {
    const before = cull.undone.pop() ?? [];
    for (const [id, was] of before)
      if (was) marks[id] = was;
      else delete marks[id];
    keep();
    return cull.frames.findIndex(frame => frame.id === before[0]?.[0]);
  }

  // --- its memory ---
  function keep() {
    try { sessionStorage.setItem(PICKS, JSON.stringify(marks)); } catch { forgetful(); }
  }

  function remembered(name) {
    try {
      return sessionStorage.getItem(name);
    } catch {
      forgetful();
      return null;
    }
  }

  function forgetful() { // said once; all works as before
    if (!warned && cull.frames.length) qi.note("no_memory");
    warned ||= cull.frames.length > 0;
  }

  // One tab goes on with a run: the copy of a tab, which has the same memory, begins its own. Where nothing can be
  // held, as in another site's frame, it does.
  function alone(name) {
    if (!navigator.locks) return true;
    const forever = new Promise(() => {});
    return new Promise(done => {
      navigator.locks.request(`q-insight-${name}`, { ifAvailable: true }, lock => {
        done(Boolean(lock));
        return lock && forever;
      }).catch(() => done(true));
    });
  }

  // The key of the run that this tab goes on with, or null.
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
  let asked = ""; // for, the last time
  let coming = false, wish = false; // files are on their way; Rate all was pressed before they came
  const expect = () => { coming = true; };
  addEventListener("change", ({ target }) => {
    if (target.type === "file" && target.closest("#rank-files")) expect();
  }, true);

  function rate(given) {
    wish = coming && !wish;
    if (wish) qi.note("files_coming");
    asked = JSON.stringify(given);
    return [wish ? { number: 0 } : qi.turn("rank", true), ...given];
  }

  // Other files are there. That those are which are being rated, or are rated by now, may be heard of later than the
  // button; a folder is looked through again. Photos that come while others are rated are rated, too.
  function others(given) {
    const known = JSON.stringify(given) === asked && (running() || given[0]?.length > 0);
    const goesOn = !known && running() && given[0]?.length > 0;
    if (!known) asked = "";
    if (goesOn || wish && coming) setTimeout(() => element("rank")?.click(), 100);
    coming = false;
    return [known ? { number: 0 } : qi.turn("rank", false), ...given];
  }

  // --- what comes from the server ---
  // Returns whether it is about other frames than those before.
  function take(news) {
    const known = Array.isArray(news?.frames) ? news : {};
    const { frames = [], rows = [], kinds = [], sure } = known;
    const other = frames[0]?.[0] !== cull.frames[0]?.number || frames.length !== cull.frames.length;
    if (other) begin(frames, known.key);
    Object.assign(cull, { rows, kinds, sure });
    return other;
  }

  // Photos may come to those that lie here: what was said of these stays, and can be taken back.
  function begin(frames, itsKey) {
    const named = ([number, id, name, taken, exposure]) => ({ number, id, name, taken, exposure });
    const ids = new Set(frames.map(([, id]) => id)), stays = said => said.every(([id]) => ids.has(id));
    const goesOn = cull.frames.some(frame => ids.has(frame.id)) || (!cull.frames.length && itsKey === key);
    if (!goesOn) cull.fault = cull.state = "all"; // a filter is for the photos that it was chosen for
    Object.assign(cull, { frames: frames.map(named), undone: cull.undone.filter(stays), opened: new Set() });
    if (itsKey && itsKey !== key) alone(key = itsKey);
    try { if (key) sessionStorage.setItem(RUN, key); } catch {}
    try { marks = { ...JSON.parse(remembered(PICKS)), ...marks }; } catch {}
  }

  // --- the order of the cards: bursts and brackets folded under their best frame ---
  const name = place => cull.frames[place].name, time = place => cull.frames[place].taken || "9999";
  const SORTED = {
    rating: (a, b) => rating(b) - rating(a) || SORTED.name(a, b),
    name: (a, b) => name(a).localeCompare(name(b), "en", { numeric: true }),
    time: (a, b) => time(a).localeCompare(time(b)) || SORTED.name(a, b),
  };
  const of = (all, one) => all === "all" || all === one;
  const fits = place => of(cull.fault, cull.rows[place]?.fault)
    && (cull.state === "look" ? doubtful(place) : of(cull.state, verdict(place)));
  const group = place => cull.rows[place]?.group ?? `-${place}`;
  const alike = place => [...cull.frames.keys()].filter(other => group(other) === group(place));
  const best = place => Boolean(cull.rows[place]?.best);

  function ordered() {
    const groups = new Map(), sorted = SORTED[settings.sort ?? "rating"];
    for (const place of cull.frames.keys())
      if (fits(place)) groups.set(group(place), [...groups.get(group(place)) ?? [], place]);
    return [...groups.values()]
      .map(all => all.sort((a, b) => best(b) - best(a) || sorted(a, b)))
      .sort(([a], [b]) => sorted(a, b))
      .flatMap(all => cull.opened.has(group(all[0])) ? all : folded(all));
  }

  // Of a burst what a person picked, else its best.
  function folded(all) {
    const own = all.filter(place => mark(place)[0] === "picked" && !cull.rows[place]?.bracket);
    return own.length ? own : all.slice(0, 1);
  }

  qi.cull = Object.assign(cull, {
    low, high, running, // how it stands
    mark, rating, verdict, bounded, wanted, doubtful, group, alike, ordered, // of frames
    say, undo, kept, expect, rate, others, take, // what happens to it
    said: () => ({ marks: spoken(), low: low(), high: high(), sure: wanted() }), // for the exports
  });
})();
