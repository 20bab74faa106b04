// What lies on each tab's table: one question at a time, known by its number, and the parts of its answer.
// The browser numbers the questions, as only it knows in which order somebody chose; whatever the server sends
// carries the number of the question that it answers, and what comes late from an older one changes nothing.
// Loaded once, before desk.js and before Gradio draws the page.
(() => {
  "use strict";

  const BUTTONS = { assess: ["assess", "stop"], compare: ["compare", "compare-stop"], rank: ["rank", "rank-stop"],
    places: ["closer", "closer-stop"], contest: ["contest-ask", "contest-stop"] };
  const tables = {};
  for (const tab of Object.keys(BUTTONS))
    tables[tab] = {
      number: 0, running: false, stopping: false, // of the present question
      record: null, parts: {}, // of its answer: to take home, and by element what it shows
      photos: 0, shown: "", // since which question they lie there, the last pictures of ours
      unsettled: -Infinity, // when a picture came that belongs to no question yet
    };
  // Of the photo of Assess. Times of choices are numbers that count up: -Infinity is never the newest, half a number
  // less is just before another.
  const choice = {
    last: 0, turned: 0, // times: of the newest choice, of that which lies on the table
    pending: [], given: null, // choices whose photo is on its way; the time of one that is being handed over
    picture: null, laid: null, // what the box should show, undefined where only the server knows; what was asked about
    since: 0, restoring: 0, // when that came, in milliseconds; how often it was put back
  };

  const BOXES = { photo: "assess", "photo-a": "compare", "photo-b": "compare", "photo-reference": "compare" };
  const UNANSWERED = 5000; // milliseconds after which a click that changed nothing is forgotten
  const UNSETTLED = 1000; // milliseconds in which a new picture without its question hides the old answer
  const RESTORINGS = 5; // of one picture; then it stays as Gradio draws it
  const pictured = {}; // box -> the picture that it showed last
  const ours = new Set(); // pictures that the server wanted there

  const element = id => document.getElementById(id);
  function h(tag, given = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given))
      if (typeof value === "function") made.addEventListener(name, value);
      else if (value !== undefined) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }
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
    if (tab === "assess" && photos && tables.places.running) element("closer-stop")?.click();
    Object.assign(here, { running: starts, stopping: false, record: null, unsettled: -Infinity });
    refresh();
    return told;
  }

  // In Assess a photo counts from when it was chosen, not from when its upload was over: what was chosen later
  // stays. `picture` is what the box shows of it by now. Returns what the server is told, and the photo.
  function lay(box, picture) {
    const person = covered(picture);
    if (person?.file) dispatchEvent(new CustomEvent("qi-lost", { detail: person }));
    const photo = person && !person.file ? null : picture;
    const chosen = chosenAt(box, photo?.orig_name ?? "", placed(photo));
    later();
    if (chosen < choice.turned) return [{ number: 0 }, photo]; // no question: that of the newest may be on its way
    Object.assign(choice, { turned: chosen, laid: photo });
    show(box === "photo" ? photo : undefined); // of an example only the server knows
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
    if (!["photo", "examples"].includes(box?.id)) return;
    const file = files?.[0], at = choice.given ?? ++choice.last;
    choice.pending.push({ box: box.id, name: file?.name ?? "", file, at, when: performance.now() });
  }
  const boxed = place => place.closest?.("#photo, #photo-a, #photo-b, #photo-reference");
  addEventListener("change", event => {
    const field = event.target;
    if (field.type !== "file" || (choice.given === null && qi.taken(event, boxed(field), field.files))) return;
    choosing(field.closest("#photo"), field.files);
  }, true);
  addEventListener("drop", event => qi.taken(event, boxed(event.target), event.dataTransfer?.files), true);
  addEventListener("click", event => {
    const chosen = "#photo .icon-button-wrapper button:last-of-type, #examples .thumbnail-item"; // removes, or takes
    choosing(event.target.closest?.(chosen)?.closest("#photo, #examples"));
  }, true);

  // Swap: what was answered only changes places.
  const swap = (tab, photos) => turn(tab, whole(photos) && !tables[tab].record);

  // The photos that were on the table stay there, also where the server never heard of them.
  const again = tab => turn(tab, true, false);

  // The answer of the photo that was chosen then is shown again: its question's number becomes a new one. Returns
  // what the elements of these ids hold from now on, and what the photo's box shows.
  function recall(ids, { parts, record, laid, picture }, at) {
    Object.assign(choice, { turned: at, laid });
    show(picture);
    if (picture) ours.add(address(picture));
    const { number } = turn("assess", false), here = tables.assess;
    for (const [id, shown] of Object.entries(parts)) here.parts[id] = { number, shown };
    here.record = record;
    const held = id => id === "assess-record" ? { question: number, running: false, record, pictures: null }
      : id in parts ? { question: number, shown: parts[id] } : { __type__: "update" };
    return [...ids.map(held), picture];
  }

  // What the server is told of it: nothing is asked.
  const told = () => [{ number: tables.assess.number }, choice.laid];

  // The answer about the photo on Assess's table, once there is one or will be none; null before, and after Stop.
  function ended() {
    const { running, number, parts } = tables.assess, found = record("assess");
    const mine = Object.entries(parts).filter(([, one]) => one.number === number).map(([id, one]) => [id, one.shown]);
    const shown = Object.fromEntries(mine);
    const acts = choice.pending.some(one => one.at > choice.turned && alive(one)); // somebody chose another one
    if (running || acts || unsettled("assess") || !(found || shown.problem)) return null;
    const { picture, laid } = choice;
    return { parts: shown, record: found, laid: laid === true ? picture : laid, picture };
  }

  // Photos came or went: they are asked about as soon as there are two.
  const whole = ([a, b]) => Boolean(a && b);
  const put = (tab, photos) => turn(tab, whole(photos));

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
    if (value && number(value.question) === here.number) {
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
      disable(ask, here.running || (tab === "places" && !looked()));
      disable(halt, !here.running || here.stopping);
      for (const what of ["copy", "save", "card"]) disable(`${tab}-${what}`, !record(tab));
      for (const [id, found] of Object.entries(here.parts)) old(id, found.number !== here.number || unsettled(tab));
    }
    cover(element("photo"), looking("assess", "photo-loupe"));
    beside(looking("compare", "pair"));
    element("places")?.toggleAttribute("data-gone", tables.places.parts.places?.shown?.photo !== looked());
    qi.look();
  }

  const looked = () => looking("assess", "photo-loupe")?.photo ?? null;

  // What the loupe shows: nothing of an older question, nor while another picture lies in the box.
  function looking(tab, id) {
    const { parts, number } = tables[tab];
    return parts[id]?.number === number && !unsettled(tab) && !(tab === "assess" && astray()) ? parts[id].shown : null;
  }

  // Two photos in step, and over each box what lies in it, which a browser may not be able to show.
  function beside(shown) {
    const photos = shown?.photos ?? [], host = element("slider")?.querySelector(".qi-pair");
    ["photo-a", "photo-b", "photo-reference"].forEach((box, at) => cover(element(box), photos[at] ?? null, true));
    old("slider", !(photos[0]?.photo && photos[1]?.photo));
    if (host && photos[0]?.photo && photos[1]?.photo) qiLoupe.pair(host, { ...shown, photos: photos.slice(0, 2) });
    else if (host && !["photo-a", "photo-b"].every(box => element(box)?.querySelector("img"))) host.replaceChildren();
  }

  // Over a photo's box: its loupe, or why it is no photo. Without either the box is as Gradio draws it.
  function cover(box, shown, still = false) {
    if (!box) return;
    let over = box.querySelector(":scope > .qi-over");
    const name = JSON.stringify(shown);
    box.toggleAttribute("data-refused", Boolean(shown?.refused));
    if (over && over.dataset.shows !== name) {
      over.remove();
      over = null;
    }
    if (over || !shown) return;
    over = h("div", { class: "qi-over" });
    Object.assign(over.dataset, { shows: name, name: shown.name ?? "" });
    box.append(over);
    if (shown.photo) {
      over.dataset.photo = shown.photo;
      qiLoupe.mount(over, { still });
    } else
      for (const [kind, words] of [["b", shown.name], ["p", shown.refused]])
        over.append(h(kind, {}, words ?? ""));
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

  const words = (tab, id, label, value) =>
    `<div class="qi-words" tabindex="0" role="region" aria-label="${safe(label)}">${said(part(tab, id, value))}</div>`;

  // A reply. Where the model was shown B first, whom its names mean is said beside them, as ours; one click hides that.
  const NAMES = /\b(?:(?:image|photo|picture)s?\s+["“]?([AB])\b|(first|second)\s+(?:image|photo|picture)\b)/gi;
  function said(shown) {
    if (shown?.pieces) return qi.claims(shown);
    if (!shown?.yours) return safe(shown);
    let done = 0, drawn = "";
    for (const found of shown.text.matchAll(NAMES)) {
      const end = found.index + found[0].length;
      const yours = /^(a|first)$/i.test(found[1] ?? found[2]) ? shown.yours[0] : shown.yours[1];
      drawn += `${safe(shown.text.slice(done, end))}<i class="qi-app">${safe(yours)}</i>`;
      done = end;
    }
    const pressed = document.body.classList.contains("qi-as-it-is");
    const button = `<button type="button" data-as-it-is aria-pressed="${pressed}">${safe(shown.as_it_is)}</button>`;
    return `<span class="qi-note-app">${safe(shown.note)} ${button}</span>\n${drawn}${safe(shown.text.slice(done))}`;
  }
  addEventListener("click", event => {
    const button = event.target.closest?.("[data-as-it-is]");
    if (button) button.ariaPressed = document.body.classList.toggle("qi-as-it-is");
  });

  const loupe = (tab, id, value) => (part(tab, id, value), "");
  const record = tab => unsettled(tab) ? null : tables[tab].record;
  const take = (tab, value) => `<p class="qi-unseen" data-say="now">${safe(laid(tab, value))}</p>`;

  window.qi = {
    BUTTONS, turn, lay, put, swap, again, stop, failed, // asking
    recall, told, ended, laidAt: () => choice.turned, restored, chosen, giving, overtaken, // choosing
    pictures, record, refresh, line, words, take, loupe, // showing
    looked, picture: () => choice.picture ?? null, // on the table of Assess
    element, h, part, safe, count: number, number: tab => tables[tab].number, // for those who draw parts of their own
  };
})();
