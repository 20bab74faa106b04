// What a person brings: any file, anywhere on the page; several become a filmstrip. In Assess its photos are asked
// about in turn, and everything that was answered stays in it: in this tab of the browser, until that closes. In
// Compare it pages B. The server knows nothing of it. Loaded once, after desk.js.
(() => {
  "use strict";

  const PLACES = { photo: "strip-place", "photo-b": "film-photo-b" }, films = { photo: [], "photo-b": [] };
  const STORE = "q-insight-answered", MOST = 40; // photos kept over a reload
  const SIDE = 320, LONGEST = 60000; // of what is kept: pixels of the longer side, characters of an answer
  const shown = {}, { element, h } = qi;
  const shows = type => /^image\/(jpeg|png|webp|gif|avif|bmp)$/.test(type);
  let untold = true, before = 0, waking = null, turned = 0;
  let resting = false; // somebody stopped, or looks at an earlier answer: the photos that wait do so

  // Gradio takes images only, told by a type that browsers do not know of a RAW: the server looks at the bytes.
  const photo = file => file.type.startsWith("image/") ? file
    : new File([file], file.name, { type: "image/x-any", lastModified: file.lastModified });

  // Several files, one that Gradio would turn away, or one that is dropped, which Gradio loses while another is on its
  // way. Returns whether they are taken care of here.
  function taken(event, box, files) {
    const chosen = event.type === "change" && files?.length === 1 && files[0].type.startsWith("image/");
    if (!box || !files?.length || chosen) return false;
    event.preventDefault();
    event.stopImmediatePropagation();
    dispatchEvent(new Event("qi-dropped"));
    bring(box.id, [...files]);
    return true;
  }

  function bring(box, files) {
    let photos = files.map(photo);
    if (box === "photo-a" && photos.length > 1) {
      hand("photo-a", photos[0]);
      [box, photos] = ["photo-b", photos.slice(1)];
    }
    const joins = box === "photo" && !resting && waiting().length; // one more of those that are asked about in turn
    if (!films[box] || (photos.length === 1 && !joins)) return hand(box, photos[0]);
    const url = file => shows(file.type) ? URL.createObjectURL(file) : "";
    add(box, photos.map(file => ({ name: file.name, file, url: url(file) })));
  }

  const hand = (box, file, at = qi.chosen()) => qi.give(element(box), [file], at, 600);

  function add(box, frames) {
    if (box !== "photo") clear(box);
    films[box].push(...frames);
    if (frames.length) open(box, frames[0]);
  }

  // A frame is shown: its answer as it was, if it has one, and nobody is asked.
  async function open(box, frame) {
    shown[box] = frame;
    const at = turned = qi.chosen();
    draw(box);
    if (frame.act) return frame.act();
    if (box === "photo") resting = Boolean(frame.kept);
    if (!frame.kept) {
      frame.at = at;
      return hand(box, frame.file, at);
    }
    const { picture } = frame.kept, gone = picture?.url && !await image(picture.url); // its path has expired
    if (turned !== at) return;
    Object.assign(frame, { at, kept: gone ? { ...frame.kept, picture: { ...picture, url: frame.url } } : frame.kept });
    waking = frame;
    element("recall").click();
  }
  const recalled = ids => qi.recall(ids, waking.kept, waking.at);

  // --- the answer of the photo on the table has come: it is kept, and the next one that waits has its turn ---
  function look() {
    for (const box of Object.keys(films)) draw(box, false);
    if (shown.photo?.at < qi.laidAt()) { // another photo lies there
      delete shown.photo;
      draw("photo");
    }
    const ended = qi.ended(), number = qi.number("assess");
    if (!ended || number === before || !number) return;
    before = number;
    setTimeout(keep, 50, number); // all parts of it have come
  }

  async function keep(number) {
    const kept = qi.number("assess") === number && qi.ended(), at = qi.laidAt();
    if (!kept) return;
    const key = (kept.laid ?? kept.picture)?.path ?? kept.record?.name; // asked about again: the newer answer stays
    const film = films.photo, known = one => one.at === at || (key && one.key === key);
    let frame = film.find(known);
    if (!kept.record) return refused(frame);
    if (JSON.stringify(kept).length > LONGEST) return;
    if (frame?.kept?.record === kept.record) return draw("photo"); // it was only looked at again
    if (!frame) film.push(frame = { name: String(kept.record.name ?? "") });
    const url = frame.kept ? "" : await small(kept.picture?.url); // what is looked at again has its picture
    if (url) {
      if (frame.file) URL.revokeObjectURL(frame.url);
      frame.url = url;
    }
    Object.assign(frame, { key, kept, at, short: kept.record.short ?? [] });
    if (offered) films.photo = [...earlier(), ...film.filter(one => one !== frame), frame]; // who goes on is not asked
    offered = false;
    if (qi.laidAt() === at) shown.photo = frame;
    store();
    next(frame);
  }

  function refused(frame) {
    if (frame) frame.refused = true;
    next(frame);
  }

  function next(frame) {
    if (resting || shown.photo !== frame || !waiting().length) draw("photo");
    else open("photo", waiting()[0]);
  }
  const waiting = () => films.photo.filter(one => one.file && !one.kept && !one.refused);

  function image(address) {
    return new Promise(done => {
      const loaded = new Image();
      loaded.onload = () => done(loaded);
      loaded.onerror = () => done(null);
      loaded.src = address;
    });
  }

  async function small(address) {
    const large = address ? await image(address) : null;
    if (!large) return "";
    const scale = Math.min(1, SIDE / Math.max(large.width, large.height)), canvas = document.createElement("canvas");
    canvas.width = Math.max(1, large.width * scale);
    canvas.height = Math.max(1, large.height * scale);
    canvas.getContext("2d").drawImage(large, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.7);
  }

  // --- over a reload ---
  const fits = one => one && typeof one.name === "string" && String(one.url).startsWith("data:image/")
    && Array.isArray(one.short) && one.kept?.parts && one.kept.record;
  function earlier() {
    try {
      return [JSON.parse(sessionStorage.getItem(STORE)) ?? []].flat().filter(fits).slice(-MOST);
    } catch {
      return []; // no storage, or rubbish in it
    }
  }
  let offered = earlier().length > 0;

  function store() {
    const lasting = ({ file, ...one }) => ({ ...one, at: undefined });
    const kept = films.photo.filter(one => one.kept).slice(-MOST).map(lasting);
    try {
      if (kept.length) sessionStorage.setItem(STORE, JSON.stringify(kept));
      else sessionStorage.removeItem(STORE);
    } catch {
      if (untold) qi.note("strip_unkept");
      untold = false;
    }
  }

  function clear(box) {
    for (const { file, url } of films[box]) if (file) URL.revokeObjectURL(url);
    films[box] = [];
    delete shown[box];
    if (box === "photo") {
      offered = false;
      store();
    }
    draw(box);
  }

  // --- drawn into its place, whenever that is new ---
  function draw(box, force = true) {
    const list = element(PLACES[box]), film = films[box], now = `${qi.language()} ${film.length} ${offered} ${resting}`;
    if (!list || (!force && list.dataset.drawn === now)) return;
    list.dataset.drawn = now;
    const focused = [...list.children].indexOf(document.activeElement);
    const button = (name, click) => h("button", { type: "button", click }, name);
    const made = film.map(frame => {
      const one = button("", () => open(box, frame)), said = frame.refused ? "!" : frame.short?.[0] ?? "";
      one.className = "qi-kept";
      one.title = frame.name;
      one.ariaLabel = [frame.name, ...frame.short ?? [said]].filter(Boolean).join(", ");
      if (frame === shown[box]) one.ariaCurrent = "true";
      one.append(frame.url ? h("img", { src: frame.url, alt: "", decoding: "async" }) : frame.name);
      if (said) one.append(h("b", {}, said));
      return one;
    });
    if (box === "photo" && offered) made.push(button(`${qi.word("strip_back")} (${earlier().length})`, () => {
      films.photo.unshift(...earlier());
      offered = false;
      draw(box);
    }));
    const left = box === "photo" && resting ? waiting() : [];
    if (left.length) made.push(button(`${qi.word("strip_go_on")} (${left.length})`, () => open("photo", left[0])));
    if (made.length) made.push(button(qi.word("strip_clear"), () => clear(box)));
    if (made.length && box === "photo") made.push(h("span", {}, qi.word("strip_kept")));
    list.ariaLabel = qi.word(box === "photo" ? "strip" : "film");
    list.onkeydown = event => walk(event, [...list.children]);
    list.replaceChildren(...made);
    list.hidden = film.length < 2 && (box !== "photo" || !made.length);
    list.children[focused]?.focus();
    const there = list.querySelector("[aria-current]");
    if (there) list.scrollLeft = there.offsetLeft - list.clientWidth / 2; // the page itself stays where it is
  }

  function walk(event, all) {
    const next = all[all.indexOf(event.target) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  // --- the whole page takes what is dropped; a field for files takes every kind that is read here ---
  function fields() {
    for (const input of document.querySelectorAll(":is(#photo, #compare-photos, #photo-reference) input[type=file]")) {
      input.accept = GIVEN.files;
      input.multiple = !input.closest("#photo-reference");
      const box = input.closest("[id^=photo]").id; // Gradio may take the field away while somebody is still choosing
      input.onchange = () => { if (!input.isConnected && input.files.length) bring(box, [...input.files]); };
    }
  }

  let over = 0;
  const dragging = by => {
    over = by ? Math.max(0, over + by) : 0;
    document.body.toggleAttribute("data-drag", over > 0);
  };
  addEventListener("dragenter", event => { if (event.dataTransfer?.types.includes("Files")) dragging(1); }, true);
  addEventListener("dragleave", () => { if (over) dragging(-1); }, true);
  for (const end of ["drop", "qi-dropped", "dragend"]) addEventListener(end, () => dragging(0), true);
  addEventListener("click", event => {
    if (event.target.closest?.("#stop")) resting = true;
    if (event.target.closest?.("#choose")) element("photo")?.querySelector("input[type=file]")?.click();
  });

  Object.assign(window.qi, { taken, bring, recalled, film: add, look: () => { fields(); look(); } });
})();
