// What was answered in Assess, kept in this tab of the browser until it closes: a small picture of each photo, its
// rating and everything that was shown of its answer. The server knows nothing of it. Loaded after desk.js.
(() => {
  "use strict";

  const PLACE = "q-insight-answered", MOST = 40, SIDE = 320; // photos; pixels of a picture's longer side
  const LONGEST = 60000; // characters of one answer that are kept
  let kept = [], before = 0, told = false, chosen = null, offered = false;

  function stored() {
    try {
      return JSON.parse(sessionStorage.getItem(PLACE)) ?? [];
    } catch {
      return []; // no storage, or rubbish in it
    }
  }
  const fits = one => one && typeof one.name === "string" && typeof one.thumb === "string"
    && Array.isArray(one.short) && Array.isArray(one.values?.[1]);
  const earlier = () => [stored()].flat().filter(fits).slice(-MOST);
  offered = earlier().length > 0;

  function store() {
    try {
      if (kept.length) sessionStorage.setItem(PLACE, JSON.stringify(kept));
      else sessionStorage.removeItem(PLACE);
    } catch {
      if (!told) qi.note("strip_unkept");
      told = true;
    }
  }

  // The values of everything that shows an answer. A recorded sample has no number.
  async function answered(values) {
    const [table, ...parts] = values, photo = qi.picture();
    if (!table?.record || table.running || !table.question || table.question === before) return;
    before = table.question;
    const name = String(table.record.name ?? ""), short = table.record.short ?? [];
    const whole = JSON.stringify([table.record, parts.map(part => part?.shown)]);
    if (whole.length > LONGEST) return;
    const thumb = await small(photo?.url);
    if (offered) bring(); // whoever goes on has not to be asked
    const key = photo?.url ?? name; // asked about again: the newer answer stays
    kept = kept.filter(one => one.key !== key).slice(1 - MOST);
    kept.push({ name, short, thumb, photo, key, values: JSON.parse(whole) });
    chosen = kept.at(-1);
    store();
    draw();
  }

  function picture(address) {
    return new Promise(done => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = () => done(null);
      image.src = address;
    });
  }

  async function small(address) {
    const image = address ? await picture(address) : null;
    if (!image) return "";
    const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, image.width * scale);
    canvas.height = Math.max(1, image.height * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.7);
  }

  function bring() {
    offered = false;
    kept = [...earlier(), ...kept].slice(-MOST);
    draw();
  }

  function clear() {
    offered = false;
    kept = [];
    chosen = null;
    store();
    draw();
  }

  // --- a photo of the strip is looked at again: its answer as it was, under a new number ---
  let turned = null;

  async function recall(one) {
    const there = one.photo?.url && await picture(one.photo.url);
    const shown = there ? one.photo : { ...one.photo, url: one.thumb }; // its path has expired, as the server says
    const [record, parts] = one.values;
    turned = qi.lay("strip", true)[0];
    chosen = one;
    turned.values = [
      { question: turned.number, running: false, record, pictures: [shown] },
      ...parts.map(part => ({ question: turned.number, shown: part })),
    ];
    before = turned.number;
    document.getElementById("recall")?.click();
    draw();
  }
  const recalled = () => turned?.values ?? [];
  const turnedTo = () => ({ number: turned?.number ?? 0, of: turned?.of ?? 0, running: false });

  // --- drawn into the place that the page has for it, whenever that is new ---
  function button(name, act, style = "") {
    const made = document.createElement("button");
    made.type = "button";
    made.className = style;
    made.textContent = name;
    made.addEventListener("click", act);
    return made;
  }

  function card(one) {
    const made = button("", () => recall(one), "qi-kept");
    made.setAttribute("aria-label", [one.name, ...one.short].join(", "));
    if (one === chosen) made.setAttribute("aria-current", "true");
    const image = document.createElement("img"), words = document.createElement("span");
    image.alt = "";
    if (one.thumb.startsWith("data:image/")) image.src = one.thumb;
    words.textContent = [one.short].flat().join(" ");
    made.append(image, words);
    return made;
  }

  function draw(force = true) {
    const place = document.getElementById("strip-place"), now = `${qi.language()} ${kept.length} ${offered}`;
    if (!place || (!force && place.dataset.drawn === now)) return;
    place.dataset.drawn = now;
    const label = document.createElement("span");
    label.textContent = qi.word("strip_kept");
    const made = kept.map(card);
    if (offered) made.push(button(`${qi.word("strip_back")} (${earlier().length})`, bring));
    if (made.length) made.push(button(qi.word("strip_clear"), clear), label);
    place.setAttribute("aria-label", qi.word("strip"));
    place.replaceChildren(...made);
    place.hidden = !made.length;
    const there = place.querySelector("[aria-current]");
    if (there) place.scrollLeft = there.offsetLeft - place.clientWidth / 2; // the page itself stays where it is
  }

  Object.assign(qi, { answered, recalled, turnedTo, strip: () => draw(false) });
})();
