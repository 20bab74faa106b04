// The loupe: an original's own pixels on neutral grey, whole or at 100 %, two of them in step.
// Tiles come from this page's server by a photo's opaque number, and are kept while somebody looks.
// Loaded once, after table.js and before desk.js. `qiLoupe.mount(element)` makes one of any element with `data-photo`.
(() => {
  "use strict";

  const TILES = 160, LARGEST = 32, ALIVE = 60000; // tiles kept; device pixels for one of the photo; milliseconds
  const base = new URL("gradio_api/loupe/", location.origin + location.pathname.replace(/\/?$/, "/")).href;
  const known = new Map(); // number -> what is promised of its photo
  const tiles = new Map(); // address -> picture, the one drawn last at the end
  const views = new Set();
  const marks = { blown: false, blocked: false, histogram: false };
  let looked = null; // the view that the pointer was on last

  const make = (kind, style, into) => {
    const made = qi.h(kind, { class: style });
    into.append(made);
    return made;
  };
  const word = key => window.qi.word(key);
  const write = (place, words) => { if (place.textContent !== words) place.textContent = words; };
  const visible = view => view.root.isConnected && view.root.offsetParent !== null;
  const within = (least, value, most) => Math.min(most, Math.max(least, value));

  function facts(number) {
    if (!known.has(number)) {
      const told = fetch(base + number).then(async answer => answer.ok ? answer.json() : Promise.reject(answer.status));
      told.catch(() => known.delete(number));
      known.set(number, told);
    }
    return known.get(number);
  }

  // A tile, once it has come; `wanted` asks for it.
  function tile(view, level, x, y, wanted) {
    const address = `${base}${view.number}/${level}/${x}/${y}.png`;
    let picture = tiles.get(address);
    if (!picture && !wanted) return null;
    tiles.delete(address);
    if (!picture) {
      picture = new Image();
      picture.onload = later;
      picture.onerror = () => tiles.delete(address);
      picture.src = address;
    }
    tiles.set(address, picture);
    if (tiles.size > TILES) tiles.delete(tiles.keys().next().value);
    return picture.complete && picture.naturalWidth ? picture : null;
  }

  // Red and blue where the tile has lost its drawing: of blown highlights and of blocked shadows.
  function tint(picture, [blown, blocked]) {
    const name = `${marks.blown}${marks.blocked}`;
    if (picture.tint?.name === name) return picture.tint;
    const drawn = document.createElement("canvas");
    [drawn.width, drawn.height, drawn.name] = [picture.naturalWidth, picture.naturalHeight, name];
    const pen = drawn.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0);
    const pixels = pen.getImageData(0, 0, drawn.width, drawn.height), data = pixels.data;
    for (let at = 0; at < data.length; at += 4) {
      const most = Math.max(data[at], data[at + 1], data[at + 2]);
      const high = marks.blown && most >= blown, low = marks.blocked && most <= blocked;
      data.set(high ? [255, 0, 60, 255] : low ? [0, 110, 255, 255] : [0, 0, 0, 0], at);
    }
    pen.putImageData(pixels, 0, 0);
    return picture.tint = drawn;
  }

  // --- what is seen: `glass` is shared by photos in step: how many times the fit, and where the middle is ---
  function fit(view) {
    const { width, height } = view.facts, lead = view.glass.lead?.facts ? view.glass.lead : view;
    const { canvas } = lead.facts.width === width && lead.facts.height === height ? lead : view; // to the same pixel
    return Math.min(canvas.width / width, canvas.height / height);
  }

  const scale = view => {
    const found = fit(view) * view.glass.times;
    return Math.abs(found - 1) < 1e-6 ? 1 : found;
  };

  function settle(view, to, [x, y] = [view.canvas.clientWidth / 2, view.canvas.clientHeight / 2]) {
    const { glass, canvas, facts: { width, height } } = view, from = scale(view), whole = fit(view);
    to = within(Math.min(whole, 1), to, Math.max(whole, LARGEST));
    if (Math.abs(to / whole - 1) < 0.02) to = whole;
    const aside = [x * devicePixelRatio - canvas.width / 2, y * devicePixelRatio - canvas.height / 2];
    const move = (middle, size, off, room) => {
      const half = room / 2 / to / size;
      return half >= 0.5 ? 0.5 : within(half, middle + off * (1 / from - 1 / to) / size, 1 - half);
    };
    Object.assign(glass, {
      times: to / whole,
      x: move(glass.x, width, aside[0], canvas.width),
      y: move(glass.y, height, aside[1], canvas.height),
    });
    later();
  }

  function pan(view, x, y) {
    const { glass, facts: { width, height } } = view, by = devicePixelRatio / scale(view);
    glass.x -= x * by / width;
    glass.y -= y * by / height;
    settle(view, scale(view));
  }

  const full = (view, at) => settle(view, scale(view) === 1 ? fit(view) : 1, at);

  let due = false;
  function later() {
    if (!due) requestAnimationFrame(() => {
      due = false;
      for (const view of views) draw(view);
      if (two.host?.isConnected) arrange();
    });
    due = true;
  }

  function draw(view) {
    if (!view.root.isConnected) view.end();
    if (!view.facts || !visible(view)) return;
    const { canvas, glass, facts: { width, height, levels, tile: side, limits } } = view;
    const [across, down] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.round(side * devicePixelRatio));
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    if (!across || !down) return;
    if (view.close) {
      settle(view, 1, view.close.at);
      view.close = null;
    }
    const by = scale(view), pen = canvas.getContext("2d");
    const left = Math.round(across / 2 - glass.x * width * by), top = Math.round(down / 2 - glass.y * height * by);
    const level = within(0, Math.floor(Math.log2(1 / by) + 0.01), levels);
    pen.clearRect(0, 0, across, down);
    Object.assign(pen, { imageSmoothingEnabled: by < 1 || glass.times === 1, imageSmoothingQuality: "high" });
    view.drawn = true;
    for (let at = levels; at >= level; at -= 1) { // what is coarser lies below what has not come yet
      const step = side << at, place = (value, size, start) => Math.round(start + Math.min(value, size) * by);
      const first = (start, size) => Math.max(0, Math.floor(-start / by / step));
      for (let y = first(top); y * step < height && place(y * step, height, top) < down; y += 1)
        for (let x = first(left); x * step < width && place(x * step, width, left) < across; x += 1) {
          const picture = tile(view, at, x, y, at === level || at === levels);
          if (!picture) view.drawn &&= at !== level;
          if (!picture) continue;
          const from = [place(x * step, width, left), place(y * step, height, top)];
          const size = [place((x + 1) * step, width, left) - from[0], place((y + 1) * step, height, top) - from[1]];
          pen.drawImage(picture, ...from, ...size);
          if (at === level && (marks.blown || marks.blocked)) pen.drawImage(tint(picture, limits), ...from, ...size);
        }
    }
    if (map?.photo === view.number && !view.still) over(pen, left, top, by);
    canvas.style.touchAction = glass.times > 1 ? "none" : "pan-y";
    view.root.classList.toggle("qi-close", glass.times > 1);
    tell(view, by);
  }

  // Places that were looked at more closely: boxes with the rating, thick where something is named.
  let map = null;
  function over(pen, left, top, by) {
    const thin = devicePixelRatio;
    pen.save();
    Object.assign(pen, { strokeStyle: "white", fillStyle: "white", shadowColor: "black" });
    Object.assign(pen, { shadowBlur: 3 * thin, font: `600 ${13 * thin}px system-ui` });
    for (const [x, y, width, height, rating, named] of map.tiles) {
      pen.lineWidth = (named ? 3 : 1) * thin;
      pen.strokeRect(left + x * by, top + y * by, width * by, height * by);
      pen.fillText(`${rating} ${named}`, left + x * by + 5 * thin, top + y * by + 16 * thin, width * by - 8 * thin);
    }
    pen.restore();
  }
  const places = shown => { map = shown; later(); };
  function go(photo, x, y) {
    const view = [...views].find(one => one.number === photo && one.facts && !one.still && visible(one));
    if (!view) return;
    Object.assign(view.glass, { x: x / view.facts.width, y: y / view.facts.height });
    settle(view, 1);
    view.root.scrollIntoView({ block: "nearest" });
  }

  function tell(view, by) {
    const { root, line, facts: { width, height, seen, blown, blocked } } = view;
    const { name = "", role = "" } = root.dataset;
    const times = width * height / (seen[0] * seen[1]);
    const share = times < 1.95 ? `${Math.round(100 / times)} %` : `1/${Math.round(times)}`;
    const saw = times > 1.02 ? word("loupe_saw").replace("#", share) : word("loupe_all");
    write(line, [role, name, `${width} × ${height}`, `${Math.round(by * 100)} %`, saw].filter(Boolean).join(" · "));
    if (view.under) view.under.alt = name;
    root.ariaLabel = [word("loupe"), role, name].filter(Boolean).join(" ");
    view.curve.hidden = !marks.histogram;
    if (marks.histogram) curve(view);
    if (view.bar) label(view.bar, view, { blown, blocked });
  }

  function curve({ curve, facts: { histogram } }) {
    const pen = curve.getContext("2d"), most = Math.sqrt(Math.max(...histogram.flatMap(one => one.slice(1, -1)), 1));
    pen.clearRect(0, 0, curve.width, curve.height);
    pen.globalCompositeOperation = "lighter";
    histogram.forEach((bins, channel) => {
      pen.fillStyle = ["#c33", "#3a3", "#36d"][channel];
      bins.forEach((count, at) => {
        const high = Math.min(1, Math.sqrt(count) / most) * curve.height, wide = curve.width / bins.length;
        pen.fillRect(at * wide, curve.height - high, wide, high);
      });
    });
  }

  // --- what is done with it ---
  const TOOLS = { full: "z", blown: "h", blocked: "s", histogram: "g" };

  function tools(into) {
    const bar = make("div", "qi-tools", into);
    bar.role = "toolbar";
    for (const [name, key] of Object.entries(TOOLS)) {
      const button = make("button", "", bar);
      Object.assign(button, { type: "button", onclick: () => act(key, [...views].find(one => one.bar === bar)) });
      button.dataset.tool = name;
      button.setAttribute("aria-keyshortcuts", key.toUpperCase());
    }
    return bar;
  }

  function label(bar, view, shares) {
    bar.ariaLabel = word("loupe");
    for (const button of bar.querySelectorAll("[data-tool]")) {
      const name = button.dataset.tool, share = shares[name];
      const percent = share === undefined ? "" : ` ${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
      write(button, word(`loupe_${name}`) + percent);
      button.ariaPressed = name === "full" ? scale(view) === 1 : marks[name];
    }
  }

  // A key of the loupe, for the view the pointer is on, or the first that can be seen. False where there is none.
  function act(key, view = null) {
    const seen = [...views].filter(one => one.facts && !one.still && visible(one));
    view ??= seen.find(one => one === looked && one.at) ?? seen.find(one => one.root.contains(document.activeElement))
      ?? (seen.includes(looked) ? looked : seen[0]);
    const name = Object.keys(TOOLS).find(one => TOOLS[one] === key);
    if (!view || !name) return false;
    if (name === "full") full(view, view.at);
    else marks[name] = !marks[name];
    later();
    return true;
  }

  function listen(view) {
    const { canvas, root } = view, touching = new Map();
    root.tabIndex = 0;
    const spot = event => {
      const { left, top } = canvas.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    const middle = all => [0, 1].map(way => all.reduce((sum, one) => sum + one[way], 0) / all.length);
    const apart = ([one, other]) => other ? Math.hypot(one[0] - other[0], one[1] - other[1]) : 1;
    canvas.onpointerdown = event => {
      if (event.button) return;
      try { canvas.setPointerCapture(event.pointerId); } catch {} // of a pointer that is gone
      touching.set(event.pointerId, spot(event));
    };
    canvas.onpointermove = event => {
      looked = view;
      view.at = event.pointerType === "touch" ? undefined : spot(event);
      if (!touching.has(event.pointerId) || !view.facts) return;
      const before = [...touching.values()];
      touching.set(event.pointerId, spot(event));
      const after = [...touching.values()], from = middle(before), to = middle(after);
      pan(view, to[0] - from[0], to[1] - from[1]);
      if (after.length === 2) settle(view, scale(view) * apart(after) / Math.max(1, apart(before)), to);
    };
    canvas.onpointerup = canvas.onpointercancel = event => touching.delete(event.pointerId);
    canvas.onpointerleave = () => { view.at = undefined; };
    canvas.ondblclick = event => view.facts && full(view, spot(event));
    canvas.addEventListener("wheel", event => {
      if (!view.facts || (event.deltaY > 0 && view.glass.times <= 1 && !event.ctrlKey)) return; // the page scrolls
      event.preventDefault();
      const turned = within(-120, event.deltaY * (event.deltaMode ? 40 : 1), 120);
      settle(view, scale(view) * 2 ** (-turned / 240), spot(event));
    }, { passive: false });
    root.onkeydown = event => {
      const way = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      const zoom = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 }[event.key];
      if (event.target !== root || !view.facts || !(way || zoom)) return;
      event.preventDefault();
      event.stopPropagation();
      if (way) pan(view, ...way);
      else settle(view, scale(view) * zoom);
    };
  }

  const glass = () => ({ times: 1, x: 0.5, y: 0.5 });

  // A loupe in this element, for the photo that it names; the same one again where it is there already. `close`: it
  // opens at 100 %, around the point `at`.
  function mount(root, { shared = glass(), bar = true, under = false, still = false, close = null } = {}) {
    const number = root.dataset.photo, old = root.qiView;
    if (old && old.number === number && old.canvas.parentNode === root) return old;
    old?.end();
    root.replaceChildren();
    root.classList.add("qi-loupe");
    root.role = still ? "img" : "group";
    const view = {
      root, number, still, close, glass: shared, facts: null,
      under: under && make("img", "", root), canvas: make("canvas", "", root), line: make("p", "qi-line", root),
      curve: make("canvas", "qi-curve", root), bar: still ? null : bar === true ? tools(root) : bar,
      end() { views.delete(view); sizes.disconnect(); },
    };
    const sizes = new ResizeObserver(later);
    Object.assign(view.curve, { width: 128, height: 56, hidden: true });
    for (const drawn of [view.canvas, view.curve]) drawn.ariaHidden = "true";
    root.qiView = view;
    views.add(view);
    if (!still) listen(view);
    sizes.observe(view.canvas);
    facts(number).then(told => {
      view.facts = told;
      if (view.under) view.under.src = `${base}${number}/${told.levels}/0/0.png`;
      root.classList.add("qi-there");
      later();
    }, () => {
      write(view.line, word("loupe_gone"));
      root.classList.add("qi-gone");
    });
    return view;
  }

  // --- two photos in step: beside each other, under a slider, or one in the place of the other ---
  const MODES = ["side", "slider", "single"];
  const two = { glass: glass(), mode: "side", part: 50, flipped: false, panes: [], host: null };

  // `shown`: both photos with their names, the winner's letter and its badge.
  function pair(host, { photos, winner, badge }) {
    const name = photos.map(one => one.photo).join();
    if (two.host !== host || !host.firstChild || host.dataset.shows !== name) {
      two.panes.forEach(pane => pane.qiView.end());
      const kept = two.panes.some(pane => photos.some(one => one.photo === pane.dataset.photo));
      Object.assign(two.glass, { lead: null }, kept ? {} : glass());
      two.host = host;
      host.dataset.shows = name;
      host.replaceChildren();
      const stage = make("div", "qi-stage", host), bar = tools(host);
      two.panes = photos.map((photo, at) => {
        const pane = make("div", "qi-pane", stage);
        Object.assign(pane.dataset, { photo: photo.photo, name: photo.name, role: "AB"[at] });
        const view = mount(pane, { shared: two.glass, bar: !at && bar, under: true });
        two.glass.lead ??= view;
        make("b", "qi-badge", pane);
        return pane;
      });
      const edge = make("input", "qi-edge", stage);
      Object.assign(edge, { type: "range", min: 0, max: 100, step: 0.1, value: two.part });
      edge.oninput = () => { two.part = edge.value; arrange(); };
      for (const mode of MODES) {
        const button = make("button", "", bar);
        Object.assign(button, { type: "button", onclick: () => { two.mode = mode; arrange(); } });
        button.dataset.mode = mode;
      }
      Object.assign(make("button", "qi-hint", bar), {
        type: "button",
        onpointerdown: () => flip(true), onpointerup: () => flip(false), onpointerleave: () => flip(false),
        onkeydown: event => { if ([" ", "Enter"].includes(event.key)) flip(true); }, onkeyup: () => flip(false),
      });
    }
    two.panes.forEach((pane, at) => write(pane.querySelector(".qi-badge"), winner === "AB"[at] ? badge : ""));
    arrange();
  }

  function arrange() {
    const { host, panes, mode, part, flipped } = two;
    if (!host.firstChild) return;
    const shapes = panes.map(({ qiView: { facts } }) => facts ? facts.width / facts.height : 0);
    const alike = Math.abs(shapes[0] / shapes[1] - 1) < 0.01, chosen = mode === "slider" && !alike ? "side" : mode;
    if (host.dataset.mode !== chosen) later();
    host.dataset.mode = chosen;
    host.toggleAttribute("data-flipped", flipped);
    host.style.setProperty("--part", `${part}%`);
    const edge = host.querySelector(".qi-edge");
    edge.hidden = chosen !== "slider";
    edge.ariaLabel = word("pair_slider");
    for (const button of host.querySelectorAll("[data-mode]")) {
      write(button, word(`pair_${button.dataset.mode}`));
      button.ariaPressed = button.dataset.mode === chosen;
      const unfit = button.dataset.mode === "slider" && !alike;
      if (button.disabled !== unfit) button.disabled = unfit; // else whoever watches is told, and draws anew
    }
    write(host.querySelector(".qi-hint"), word("pair_flip"));
  }

  // What Space is for already: to write in, or to press, if the keyboard led there and not the mouse.
  const WRITTEN_IN = "input:not([type=range]), textarea, select, dialog, [contenteditable]";
  const PRESSED = "button, a, summary, [role=button], [role=tab]:not([aria-selected=true]), [role=option]";
  let clicked = null; // since the Tab key was last used
  const taken = target => target.closest?.(WRITTEN_IN) || (target.closest?.(PRESSED) && !target.contains(clicked));
  addEventListener("pointerdown", ({ target }) => { clicked = target; }, true);
  function flip(wanted) {
    if (two.flipped === wanted || !two.host?.isConnected) return;
    two.flipped = wanted;
    arrange();
    later();
  }
  addEventListener("keydown", event => {
    if (event.key === "Tab") clicked = null;
    if (event.key !== " " || !qi.keys() || !two.host?.offsetParent || taken(event.target)) return;
    event.preventDefault();
    flip(true);
  });
  addEventListener("keyup", event => { if (event.key === " ") flip(false); });
  window.onblur = () => flip(false);

  // --- an upload lives while its photo lies on a page that is open ---
  setInterval(() => {
    const shown = [...document.querySelectorAll("[data-photo]")].map(one => one.dataset.photo);
    const numbers = [...new Set(shown.filter(Boolean))].slice(-64);
    if (numbers.length) fetch(`${base}alive/${numbers.join(",")}`).catch(() => {});
  }, ALIVE);
  new MutationObserver(later).observe(document.documentElement, { attributeFilter: ["lang"] });

  window.qiLoupe = { mount, pair, glass, act, views, places, go };
})();
