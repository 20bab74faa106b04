// What lies on each tab's table: one question at a time, known by its number, and the parts of its answer.
// The browser numbers the questions, as only it knows in which order somebody chose; whatever the server sends
// carries the number of the question that it answers, and what comes late from an older one changes nothing.
// Loaded once, before desk.js and before Gradio draws the page.
(() => {
  "use strict";

  const BUTTONS = { assess: ["assess", "stop"], compare: ["compare", "compare-stop"], rank: ["rank", "rank-stop"] };
  const tables = {};
  for (const tab of Object.keys(BUTTONS))
    tables[tab] = {
      number: 0, running: false, stopping: false, // of the present question
      record: null, parts: {}, // of its answer: to take home, and by element what it shows
      photos: 0, looked: 0, shown: "", // since which question they lie there, the slider's, the last pictures of ours
      unsettled: -Infinity, // when a picture came that belongs to no question yet
      hasty: false, // asked while it was so
    };
  // Of the photo of Assess. `picture`: what its box should show; undefined where only the server knows.
  const choice = { last: 0, turned: 0, pending: [], given: null, picture: null, since: 0, restoring: 0 };

  const BOXES = { photo: "assess", "photo-a": "compare", "photo-b": "compare", "photo-reference": "compare" };
  const UNANSWERED = 5000; // milliseconds after which a click that changed nothing is forgotten
  const UNSETTLED = 1000; // milliseconds in which a new picture without its question hides the old answer
  const RESTORINGS = 5; // of one picture; then it stays as Gradio draws it
  const pictured = {}; // box -> the picture that it showed last
  const ours = new Set(); // pictures that the server wanted there

  const element = id => document.getElementById(id);
  const safe = words => String(words ?? "").replace(/[&<>"'`$]/g, c => `&#${c.charCodeAt(0)};`);
  const address = picture => new URL(picture.url ?? picture.path, location).href;
  const number = value => Number.isFinite(Number(value)) ? Number(value) : 0;

  // --- turning to another question ---
  // Another photo is chosen, or the same one is asked about again: the old answer goes at once. Returns what
  // the server is told: the question's number, that of the photos on the table, and whether something ran.
  function turn(tab, starts, photos = true) {
    const here = tables[tab];
    const told = { number: here.number + 1, of: here.photos, running: here.running };
    here.number = told.number;
    if (photos) here.photos = here.number;
    Object.assign(here, { running: starts, stopping: false, hasty: false, record: null, unsettled: -Infinity });
    refresh();
    return told;
  }

  // In Assess a photo counts from when it was chosen, not from when its upload was over: what was chosen later
  // stays. `picture` is what the box shows of it by now. Returns what the server is told, and the photo.
  function lay(box, picture) {
    const person = box === "photo" ? covered(picture) : undefined;
    if (person?.file) dispatchEvent(new CustomEvent("qi-lost", { detail: person }));
    const photo = person && !person.file ? null : picture;
    const chosen = chosenAt(box, photo?.orig_name ?? "", placed(photo));
    later();
    if (chosen < choice.turned) return [{ number: 0 }, photo]; // no question: the newest one's may be on its way
    choice.turned = chosen;
    show(box === "photo" ? photo : undefined);
    return [turn("assess", Boolean(photo)), photo];
  }

  // A picture that we put there crossed what a person did in the box, and the event carries ours.
  const placed = picture => Boolean(picture) && ours.has(address(picture));
  const covered = picture => placed(picture) ? acting().findLast(one => one.name !== picture.orig_name) : undefined;
  const alive = one => one.name || performance.now() - one.when < UNANSWERED;
  const acting = () => choice.pending.filter(one => one.box === "photo" && one.at > choice.turned && alive(one));

  function show(picture) {
    Object.assign(choice, { picture, since: performance.now(), restoring: 0 });
    setTimeout(refresh, UNSETTLED + 10);
  }

  // When this was chosen, by what was seen of it then: a file by its name, a click by its box. What was not seen
  // counts from now, but for a picture that we put there: it has taken the place of an upload that was too late.
  // Uploads before it that never came are given up, and clicks after which nothing happened.
  function chosenAt(box, name, placed) {
    choice.pending = choice.pending.filter(alive);
    const same = choice.pending.filter(one => one.box === box && one.name === name);
    const found = name ? same.at(-1) : same[0];
    const coming = choice.pending.findLast(one => one.box === box);
    if (!found && !name && coming) return coming.at - 0.5; // Gradio clears the box for a photo that is dropped there
    if (!found) return placed ? -Infinity : ++choice.last;
    choice.pending = choice.pending.filter(one => one !== found && !(name && one.box === box && one.at < found.at));
    return found.at;
  }

  const chosen = () => ++choice.last;
  const overtaken = at => at < choice.turned || choice.pending.some(one => one.at > at);

  // Hand over a file that was chosen at that time.
  function giving(at, act) {
    choice.given = at;
    act();
    choice.given = null;
  }

  // An upload that comes too late, and a picture of ours that crosses an upload, leave another picture in the box
  // than the one that was asked about. It is put back, unless something newer is on its way into the box.
  const restored = () => astray() ? choice.picture : undefined;

  function astray() {
    if (choice.picture === undefined || acting().length) return false;
    const wanted = choice.picture ? address(choice.picture) : "";
    if (wanted) ours.add(wanted);
    return (element("photo")?.querySelector("img")?.src ?? "") !== wanted;
  }

  function restore() {
    const settled = performance.now() - choice.since > UNSETTLED && !unsettled("assess");
    if (!settled || !astray() || choice.restoring >= RESTORINGS) return;
    Object.assign(choice, { since: performance.now(), restoring: choice.restoring + 1 });
    element("restore")?.click();
    setTimeout(refresh, UNSETTLED + 10);
  }

  function choosing(box, files) {
    if (!["photo", "raw", "examples"].includes(box?.id)) return;
    const file = files?.[0], at = choice.given ?? ++choice.last;
    choice.pending.push({ box: box.id, name: file?.name ?? "", file, at, when: performance.now() });
  }
  addEventListener("change", event => {
    const field = event.target; // a file input stands in its box, or before its button
    if (field.type === "file") choosing(field.closest("#photo") ?? field.nextElementSibling, field.files);
  }, true);
  addEventListener("drop", event => choosing(event.target.closest?.("#photo"), event.dataTransfer?.files), true);
  addEventListener("click", event => {
    const chosen = "#photo .icon-button-wrapper button:last-of-type, #examples .thumbnail-item"; // removes, or takes
    choosing(event.target.closest?.(chosen)?.closest("#photo, #examples"));
  }, true);

  // Swap: asked anew only where it was being asked.
  const swap = tab => turn(tab, tables[tab].running);

  // The photos that were on the table stay there, also where the server never heard of them.
  function again(tab) {
    const hasty = unsettled(tab);
    const told = turn(tab, true, false);
    tables[tab].hasty = hasty;
    return told;
  }

  // Photos came or went: nothing is asked, unless it was asked about them before Gradio told of them.
  function put(tab) {
    const running = tables[tab].running && tables[tab].hasty;
    return { ...turn(tab, running), running };
  }

  function stop(tab) {
    tables[tab].stopping = true;
    refresh();
    return { number: tables[tab].number };
  }

  // Nobody answers this question any more: the server could not be reached, or refused it.
  function failed(tab) {
    Object.assign(tables[tab], { running: false, stopping: false });
    refresh();
  }

  // --- what has come ---
  // The part of the answer that this element shows: the newest of the present question.
  function part(tab, id, value) {
    const here = tables[tab];
    if (number(value?.question) === here.number && value && typeof value === "object" && "shown" in value)
      here.parts[id] = { number: here.number, shown: value.shown };
    later();
    return here.parts[id]?.shown ?? null;
  }

  // The table itself: whether the question runs, what may be taken home. Returns what is to be said aloud.
  function laid(tab, value) {
    const here = tables[tab];
    if (number(value?.question) === here.number && here.number) {
      here.running = Boolean(value.running);
      if (!here.running) here.stopping = false;
      here.record = value.record ?? null;
      later();
    }
    return here.record?.said ?? "";
  }

  // The pictures that the server wants on the table, once; undefined where they stay as they are.
  function pictures(tab, value) {
    const here = tables[tab];
    if (number(value?.question) !== here.number || !Array.isArray(value?.pictures)) return undefined;
    const name = JSON.stringify([here.photos, value.pictures]);
    if (name === here.shown) return undefined;
    here.shown = name;
    for (const picture of value.pictures) if (picture?.url) ours.add(address(picture));
    if (tab === "assess") {
      show(value.pictures[0]);
      if (acting().length) return undefined; // it would take the upload's place
    }
    return value.pictures.length === 1 ? value.pictures[0] : value.pictures;
  }

  // The slider has come: of these photos?
  function looked(tab, value) {
    tables[tab].looked = number(value?.question);
    later();
    return "";
  }

  // --- what is seen ---
  let due = false;
  function later() {
    if (!due) queueMicrotask(refresh);
    due = true;
  }

  // Gradio draws its elements anew now and then: the state is written again, where it differs.
  function refresh() {
    due = false;
    notice();
    restore();
    for (const [tab, [ask, halt]] of Object.entries(BUTTONS)) {
      const here = tables[tab];
      disable(ask, here.running);
      disable(halt, !here.running || here.stopping);
      for (const what of ["copy", "save"]) disable(`${tab}-${what}`, !record(tab));
      for (const [id, found] of Object.entries(here.parts)) old(id, found.number !== here.number || unsettled(tab));
    }
    old("slider", tables.compare.looked < tables.compare.photos);
  }

  // Gradio shows an upload some moments before it tells anybody.
  function notice() {
    for (const [box, tab] of Object.entries(BOXES)) {
      const picture = element(box)?.querySelector("img")?.src ?? "";
      if (picture === (pictured[box] ?? "")) continue;
      pictured[box] = picture;
      if (!picture || ours.has(picture)) continue;
      tables[tab].unsettled = performance.now();
      setTimeout(refresh, UNSETTLED + 10);
    }
  }

  const unsettled = tab => performance.now() - tables[tab].unsettled < UNSETTLED;

  function disable(id, wanted) {
    const button = element(id);
    if (button && button.disabled !== wanted) button.disabled = wanted;
  }

  function old(id, wanted) {
    element(id)?.toggleAttribute("data-old", wanted);
  }

  // --- the parts, drawn; no value can make them fail ---
  const line = (tab, id, style, say, value) =>
    `<p class="${style}" data-say="${say}">${safe(part(tab, id, value))}</p>`;

  const headline = value => `<p class="qi-line" data-say="calmly">${safe(value)}</p>`;

  const words = (tab, id, label, value) =>
    `<div class="qi-words" tabindex="0" role="region" aria-label="${safe(label)}">${safe(part(tab, id, value))}</div>`;

  function gauge(tab, id, label, value) {
    const shown = part(tab, id, value) ?? {};
    const rating = Math.min(5, Math.max(1, number(shown.rating) || 1));
    return `<div class="qi-gauge" role="meter" aria-label="${safe(label)}" aria-valuemin="1" aria-valuemax="5"
      aria-valuenow="${rating}" aria-valuetext="${safe(shown.words ?? "–")} ${safe(shown.label)}">
      <svg viewBox="0 0 200 112" aria-hidden="true">
        <path class="track" d="M 18 102 A 82 82 0 0 1 182 102"/>
        <path class="level" d="M 18 102 A 82 82 0 0 1 182 102" pathLength="100"
          style="stroke-dasharray: ${number(shown.percent)} 100; stroke: hsl(${number(shown.hue)} 70% 45%)"/>
        <text x="18" y="111">1</text><text x="182" y="111">5</text>
      </svg>
      <b>${safe(shown.words ?? "–")}</b><span>${safe(shown.label)}</span></div>`;
  }

  function band(tab, id, label, value) {
    const shown = part(tab, id, value) ?? {};
    const levels = Array.isArray(shown.levels) ? shown.levels : [];
    const drawn = levels.map(level =>
      `<li data-chosen="${level?.chosen ? "yes" : "no"}" style="--odds: ${number(level?.odds)}"><i></i>`
      + `<span>${safe(level?.name)}</span><em>${safe(level?.percent)}</em></li>`);
    return `<div class="qi-band"><b>${safe(shown.words ?? "–")}</b>`
      + `<ol aria-label="${safe(label)}">${drawn.join("")}</ol><span>${safe(shown.label)}</span></div>`;
  }

  const record = tab => unsettled(tab) ? null : tables[tab].record;
  const take = (tab, value) => `<p class="qi-unseen" data-say="now">${safe(laid(tab, value))}</p>`;

  window.qi = {
    BUTTONS, turn, lay, put, restored, chosen, giving, overtaken, again, swap, stop, failed, // choosing and asking
    pictures, looked, record, refresh, part, line, headline, words, gauge, band, take, // showing
  };
})();
