// What a person brings: any file, anywhere on the page; several become a filmstrip, which lives in this tab only.
// Loaded once, after desk.js. In Assess its photos are asked about in turn and keep their answers; in Compare it pages B.
(() => {
  "use strict";

  const films = { photo: { frames: [], shown: null }, "photo-b": { frames: [], shown: null } };
  const PLACES = { photo: "#photo", "photo-b": "#compare-photos" };
  const element = id => document.getElementById(id);
  const shows = type => /^image\/(jpeg|png|webp|gif|avif|bmp)$/.test(type);

  // Gradio takes images only, and tells them by a type that browsers do not know of a RAW: the server looks at the bytes.
  const photo = file => file.type.startsWith("image/") ? file
    : new File([file], file.name, { type: "image/x-any", lastModified: file.lastModified });

  // Several files, or one that Gradio would turn away. Returns whether they are taken care of here.
  function taken(event, box, files) {
    if (!box || !files?.length || (files.length === 1 && files[0].type.startsWith("image/"))) return false;
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
    if (!films[box] || photos.length === 1) return hand(box, photos[0]);
    const frames = photos.map(file => ({ file, url: shows(file.type) ? URL.createObjectURL(file) : "" }));
    films[box].frames.push(...frames);
    open(box, frames[0]);
  }

  const hand = (box, file, at = qi.chosen()) => qi.give(element(box), [file], at, 600);

  function open(box, frame) {
    films[box].shown = frame;
    frame.at = qi.chosen();
    if (frame.kept) {
      recalled = frame;
      element("film-recall").click();
    } else hand(box, frame.file, frame.at);
    draw(box);
  }

  // What was answered is shown again, and nobody is asked.
  let recalled = null;
  const filmed = ids => qi.recall(ids, recalled.kept, recalled.at);

  // The shown photo's answer has come: it is kept, and the next one that waits has its turn.
  function look() {
    for (const box of Object.keys(films)) if (films[box].frames.length && !element(`film-${box}`)) draw(box);
    const film = films.photo, frame = film.frames.find(one => one === film.shown && one.at === qi.laidAt());
    if (film.shown && !frame && qi.laidAt() > film.shown.at) {
      film.shown = null; // another photo lies there
      draw("photo");
    }
    if (!frame || frame.kept || frame.refused) return;
    const ended = qi.ended();
    if (!ended) return;
    if (ended.record) frame.kept = ended;
    else frame.refused = true;
    const waiting = film.frames.find(one => !one.kept && !one.refused);
    if (waiting) open("photo", waiting);
    else draw("photo");
  }

  function clear(box) {
    for (const { url } of films[box].frames) URL.revokeObjectURL(url);
    Object.assign(films[box], { frames: [], shown: null });
    draw(box);
  }

  function draw(box) {
    const place = document.querySelector(PLACES[box]), { frames, shown } = films[box];
    let list = element(`film-${box}`);
    if (!list) {
      if (!place || !frames.length) return;
      list = document.createElement("div");
      Object.assign(list, { id: `film-${box}`, className: "qi-film" });
      list.setAttribute("role", "group");
      list.onkeydown = event => walk(event, [...list.children]);
      place.after(list);
    }
    const focused = [...list.children].indexOf(document.activeElement);
    list.setAttribute("aria-label", qi.word("film"));
    list.replaceChildren(...frames.map(frame => {
      const one = document.createElement("button");
      const said = frame.kept ? rated(frame.kept) : frame.refused ? "!" : "";
      Object.assign(one, { type: "button", title: frame.file.name, onclick: () => open(box, frame) });
      one.setAttribute("aria-label", `${frame.file.name} ${said}`);
      if (frame === shown) one.setAttribute("aria-current", "true");
      const number = frame.kept?.parts["photo-loupe"]?.photo;
      if (number) one.dataset.photo = number; // a sign of life
      if (frame.url) one.append(Object.assign(new Image(), { src: frame.url, alt: "" }));
      else if (number) {
        const drawn = one.appendChild(document.createElement("span"));
        drawn.dataset.photo = number;
        qiLoupe.mount(drawn, { still: true });
      } else one.append(frame.file.name);
      if (said) one.append(Object.assign(document.createElement("b"), { textContent: said }));
      return one;
    }));
    if (!frames.length) return list.remove();
    const end = document.createElement("button");
    Object.assign(end, { type: "button", textContent: qi.word("film_clear"), onclick: () => clear(box) });
    list.append(end);
    list.children[focused]?.focus();
  }

  function rated({ record }) {
    const rating = JSON.parse(record.json)[0]?.rating;
    return Number.isFinite(rating) ? rating.toFixed(1) : "–";
  }

  function walk(event, all) {
    const next = all[all.indexOf(event.target) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }

  // --- the whole page takes what is dropped; a field for files takes every kind that is read here ---
  function fields() {
    for (const input of document.querySelectorAll("#photo input[type=file], #compare-photos input[type=file], #photo-reference input[type=file]")) {
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
    if (event.target.closest?.("#choose")) element("photo")?.querySelector("input[type=file]")?.click();
  });

  Object.assign(window.qi, { taken, bring, filmed, look: () => { fields(); look(); } });
})();
