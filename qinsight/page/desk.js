// What makes the page feel like a program on the desk: the language chosen, settings that are remembered,
// keyboard shortcuts, focus that is never lost, one calm voice for screen readers, copy and save.
// Loaded once, before Gradio draws the page. Asks nothing of any other server.
(() => {
  "use strict";

  const { element, h } = qi;

  // --- what is remembered, in this browser only: no photo, no reply, no name ---
  const PLACE = "q-insight";
  const FITS = {
    language: value => GIVEN.languages.includes(value),
    tab: value => ["assess", "compare", "rank", "about"].includes(value),
    kind: value => GIVEN.kinds.includes(value),
    low: value => typeof value === "number" && value >= 1 && value <= 5,
    high: value => typeof value === "number" && value >= 1 && value <= 5.05,
    bound: value => [0, 0.02, 0.05, 0.1, 0.2].includes(value),
    view: value => ["grid", "film", "list"].includes(value),
    sort: value => ["rating", "name", "time"].includes(value),
    keys: value => typeof value === "boolean",
  };
  let settings = {};
  try {
    for (const [name, value] of Object.entries(JSON.parse(localStorage.getItem(PLACE)) ?? {}))
      if (FITS[name]?.(value)) settings[name] = value;
  } catch {} // no storage, or rubbish in it

  function keep(change) {
    for (const [name, value] of Object.entries(change)) if (FITS[name]?.(value)) settings[name] = value;
    try { localStorage.setItem(PLACE, JSON.stringify(settings)); } catch {}
  }

  // --- the token of this computer: the browser keeps it; the address is shown to whoever looks on ---
  const address = new URL(location);
  if (address.searchParams.has("token"))
    setTimeout(() => {
      address.searchParams.delete("token");
      history.replaceState(history.state, "", address);
    }, 2000);
  // Below a path of a proxy the manifest's addresses would lead outside (Gradio 6.31).
  if (location.pathname !== "/") document.querySelector("link[rel=manifest]")?.remove();

  // --- language ---
  function language() {
    const wishes = navigator.languages ?? [navigator.language];
    const primary = tag => tag.toLowerCase().split("-")[0];
    const browsers = wishes.map(wish => GIVEN.languages.find(one => primary(one) === primary(wish))).find(Boolean);
    return settings.language ?? browsers ?? "en";
  }

  function word(key) {
    const all = window.gradio_config?.i18n_translations ?? {};
    return all[language().split("-")[0]]?.["qi_" + key] ?? "";
  }

  // Gradio 6.31 has no public way to change its language; its own settings call this function of this module.
  async function speak(chosen) {
    document.documentElement.lang = chosen;
    try {
      const names = [
        ...performance.getEntriesByType("resource").map(entry => entry.name),
        ...[...document.querySelectorAll("link[rel=modulepreload]")].map(link => link.href),
      ];
      const { changeLocale } = await import(names.find(name => /\/assets\/core-[^/]*\.js$/.test(name)));
      changeLocale(chosen);
    } catch (error) {
      console.warn("The labels stay in the browser's language:", error);
    }
    return chosen;
  }

  // The footer's settings change Gradio's language only: the rest of the page follows.
  new MutationObserver(() => {
    const now = document.documentElement.lang;
    if (!location.search.includes("view=settings") || !FITS.language(now) || now === language()) return;
    keep({ language: now });
    element("language-elsewhere")?.click();
  }).observe(document.documentElement, { attributeFilter: ["lang"] });

  // --- keyboard ---
  const ASK = Object.values(qi.BUTTONS).map(([ask]) => ask).filter(ask => ask !== "closer");
  const STOP = Object.values(qi.BUTTONS).map(([, stop]) => stop);
  const at = {}; // which example of each list was opened last

  const visible = found => found && found.offsetParent !== null;

  function press(ids) {
    const found = ids.map(element).find(button => visible(button) && !button.disabled);
    found?.click();
    return Boolean(found);
  }

  function list() {
    for (const place of document.querySelectorAll(".qi-examples"))
      if (visible(place)) return [place.id, [...place.querySelectorAll(".thumbnail-item")]];
    return ["", []];
  }

  function example(step) {
    const [id, found] = list();
    if (!found.length) return false;
    const last = at[id] ?? (step > 0 ? -1 : 0);
    found[(last + step + found.length) % found.length].click();
    return true;
  }

  const KEYS = {
    a: () => press(ASK),
    escape: () => press(STOP),
    x: () => press(["swap"]),
    n: () => example(+1),
    p: () => example(-1),
    ...Object.fromEntries(["z", "h", "s", "g"].map(key => [key, () => qiLoupe.act(key)])),
    "?": () => { element("keys")?.querySelector("button")?.click(); return true; },
  };
  const WRITTEN_IN = ["checkbox", "radio", "file", "range"].map(type => `:not([type=${type}])`).join("");
  const FIELDS = `input${WRITTEN_IN}, textarea, select, [contenteditable]:not([contenteditable=false]), `
    + "[role=textbox], [role=combobox], [role=listbox]:not(.qi-cards), dialog";

  // The letter; where the keyboard has others, the key at its place.
  const letter = ({ key, code }) => /^[\x20-\x7e]$/.test(key) || key.length > 1 ? key : code.replace("Key", "");

  function onKey(event) {
    if (settings.keys === false || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.defaultPrevented || event.repeat || event.isComposing || event.target.closest?.(FIELDS)) return;
    const act = KEYS[letter(event).toLowerCase()];
    if (act && act()) event.preventDefault();
  }
  addEventListener("keydown", onKey);

  // Arrows move between the tabs, as a list of tabs promises; Gradio 6.31 knows the Tab key only.
  addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = [...event.target.closest?.("[role=tablist]")?.querySelectorAll("[role=tab]") ?? []];
    if (!step || !tabs.includes(event.target)) return;
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
    event.preventDefault();
  });

  addEventListener("click", event => {
    const [id, found] = list();
    const place = found.findIndex(one => one.contains(event.target));
    if (place >= 0) at[id] = place;
  }, true);

  // --- focus: a button that was just pressed and is disabled hands it to its partner ---
  const PARTNERS = Object.fromEntries(ASK.flatMap((ask, place) => [[ask, STOP[place]], [STOP[place], ask]]));
  let focused = null, handedAt = 0;
  addEventListener("focusin", event => { focused = event.target; });
  addEventListener("pointerdown", event => { if (!event.target.closest?.("button")) focused = null; });
  addEventListener("keydown", event => {
    // The same stroke, held or doubled, must not stop what it has just begun.
    const doubled = event.repeat || performance.now() - handedAt < 500;
    if (doubled && ["Enter", " "].includes(event.key) && PARTNERS[event.target.id]) event.preventDefault();
  }, true);

  function rescue() {
    if (!focused || (focused.isConnected && !focused.disabled)) return;
    if (document.activeElement !== document.body && document.activeElement !== focused) return;
    let next = element(PARTNERS[focused.id]);
    if (!focused.isConnected) next = home?.isConnected && home.querySelector("button:not([disabled]), input");
    if (!visible(next) || next.disabled) return;
    handedAt = performance.now();
    next.focus({ preventScroll: true });
  }
  let home = null; // the named part of the page that had the focus
  addEventListener("focusin", event => { home = event.target.parentElement?.closest("[id]"); });

  // --- a photo dropped or pasted anywhere: into the box it falls on, else into the tab's first empty one ---
  const BOXES = ["photo", "photo-a", "photo-b", "photo-reference", "rank-files"];

  function box(target) {
    const open = BOXES.map(element).filter(visible), free = open.filter(one => one.id !== "photo-reference");
    return open.find(one => one.contains(target)) ?? free.find(one => !one.querySelector("img"))
      ?? free.find(one => one.id === "photo-b") ?? free[0]; // A stays, while B is paged
  }

  function bring(event, files) {
    if (!files?.length || event.defaultPrevented) return;
    event.preventDefault(); // or the browser leaves for the file
    lay(event.target, [...files]);
  }

  function lay(target, files) {
    const place = box(target);
    if (!files.length) qi.note("nothing_there");
    else if (place?.id.startsWith("photo")) qi.bring(place.id, files);
    else if (place) {
      qi.cull.expect();
      give(place, files, qi.chosen(), 600);
    }
  }
  addEventListener("qi-folder", ({ detail }) => lay(detail.target, detail.files));

  // While one upload is under way, Gradio 6.31 has no field for the next; one that it is about to draw anew
  // would lose the file.
  function give(place, files, chosen, tries, seen) {
    const input = place.querySelector("input[type=file]");
    if (place.id === "photo" && qi.overtaken(chosen)) return;
    if (!input || input !== seen) {
      if (tries) setTimeout(give, 50, place, files, chosen, tries - 1, input);
      return;
    }
    const brought = new DataTransfer();
    for (const file of place.id.startsWith("rank") ? files : files.slice(0, 1)) brought.items.add(file);
    input.files = brought.files;
    qi.giving(chosen, () => input.dispatchEvent(new Event("change", { bubbles: true })));
  }
  addEventListener("qi-lost", ({ detail }) => give(element("photo"), [detail.file], detail.at, 600));
  addEventListener("dragover", event => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  addEventListener("drop", event => bring(event, event.dataTransfer?.files));
  addEventListener("paste", event => {
    if (!event.target.closest?.(FIELDS)) bring(event, event.clipboardData?.files);
  });

  // --- one voice for screen readers ---
  const ALOUD = { role: "status", "aria-live": "polite", "aria-atomic": "false" };
  const voice = h("div", { id: "voice", class: "qi-unseen", ...ALOUD });
  const REST = 1000, SELDOM = 10000; // milliseconds: how long a line rests before it is told; or how rarely
  const seen = {};
  let waiting, toldAt = 0, due;

  function say(text) {
    if (!voice.isConnected) document.body.append(voice);
    voice.append(h("p", {}, text));
    while (voice.children.length > 3) voice.firstChild.remove();
  }

  function tell(text) {
    toldAt = performance.now();
    say(text);
  }

  function mend() { // Gradio 6.31 counts the examples
    for (const photo of document.querySelectorAll(".qi-examples .thumbnail-item")) { // "Thumbnail 1 of 8"
      const name = photo.textContent.trim();
      if (name && photo.ariaLabel !== name) photo.ariaLabel = name;
    }
  }

  function listen() {
    due = undefined;
    mend();
    for (const line of document.querySelectorAll("[data-say]")) {
      const id = line.closest("[id]")?.id, text = line.textContent.trim();
      if (seen[id] === text) continue;
      seen[id] = text;
      if (!text || line.dataset.say === "never" || !visible(line)) continue;
      if (line.dataset.say === "now") {
        say(text);
        continue;
      }
      clearTimeout(waiting);
      if (toldAt && performance.now() - toldAt > SELDOM) tell(text);
      else waiting = setTimeout(tell, REST, text);
    }
  }

  new MutationObserver(() => {
    qi.refresh();
    rescue();
    due ??= setTimeout(listen, 200);
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["disabled", "src"] });

  // --- an answer to take home ---
  async function copy(tab) {
    const record = qi.record(tab);
    if (!record) return;
    try {
      await navigator.clipboard.writeText(record.text);
      done("copied");
    } catch {
      done("not_copied");
    }
  }

  function save(tab) {
    const record = qi.record(tab);
    if (!record) return;
    const address = URL.createObjectURL(new Blob([record.json], { type: "application/json" }));
    take(address, record.file);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  // The card that the server drew.
  function download(file) {
    const { url, orig_name } = [file].flat()[0] ?? {};
    if (url) take(url, orig_name ?? "");
  }

  function take(address, name) {
    h("a", { href: address, download: name }).click();
    done("saved");
  }

  function done(key) {
    say(word(key));
    const note = h("div", { class: "qi-note", "aria-hidden": "true" }, word(key)); // it has been said
    document.body.append(note);
    setTimeout(() => note.remove(), 2500);
  }

  Object.assign(window.qi, {
    keep, language, copy, save, download, word, note: done, give, keys: () => settings.keys !== false,
    settings, letter, aloud: say,
    choose: chosen => { keep({ language: chosen }); speak(chosen); return chosen; },
    remembered: () => [
      last.keys ?? true,
      { __type__: "update", selected: last.tab ?? "assess" },
    ],
  });
  const last = { ...settings }; // the page says which tab it opens with before it is told which it should
  speak(language());
})();
