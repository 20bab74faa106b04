// A photo's answer, drawn: the sentence or the wait for it, the scale, the fault, the cues, what to do.
// Every word is escaped, and no value can make a drawing fail. Loaded after table.js.
(() => {
  "use strict";

  const { safe, part, count } = qi;
  const list = found => Array.isArray(found) ? found : [];
  const share = found => Math.min(1, Math.max(0, count(found)));

  // What a term means, behind a question mark.
  const why = shown => list(shown?.lines).length
    ? `<details class="qi-why"><summary>?<span class="qi-unseen"> ${safe(shown.term)}</span></summary>`
      + list(shown.lines).map(line => `<p>${safe(line)}</p>`).join("") + "</details>"
    : "";

  // What the app knows of how far that can be trusted, and for which photographs.
  const sure = shown => list(shown.sure).length
    ? `<p class="qi-sure">${list(shown.sure).map(line => `<span>${safe(line)}</span>`).join(" ")}</p>` : "";

  const app = lines => list(lines).map(line => `<p class="qi-sure">${safe(line)}</p>`).join("");

  // A reasoning whose claims were checked: the app's sign behind each sentence, in which there is what was measured.
  const claims = shown => list(shown.pieces).map(claim).join("") + `<p class="qi-sure">${safe(shown.line)}</p>`;
  const claim = ([text, sign, found, lines]) => sign
    ? `<span class="qi-claim">${safe(text)}</span><details class="qi-why">`
      + `<summary title="${safe(list(lines).join(" "))}">${safe(sign)}<span class="qi-unseen"> ${safe(found)}</span>`
      + `</summary>${app(lines)}</details>`
    : safe(text);

  // --- the sentence; while there is none, the stage, a bar and the seconds ---
  let begun = { number: -1, at: 0 };

  function say(tab, id, label, value) {
    const shown = part(tab, id, value) ?? {};
    if (shown.stage) {
      const number = qi.number(tab);
      if (begun.number !== number) {
        begun = { number, at: performance.now() };
        requestAnimationFrame(intoView);
      }
      const known = typeof shown.share === "number" ? ` value="${share(shown.share)}"` : "";
      return `<div class="qi-any qi-wait"><p class="qi-sentence">${safe(shown.stage)}</p>`
        + `<progress max="1"${known} aria-label="${safe(shown.stage)}"></progress>`
        + `<span class="qi-clock" aria-hidden="true">${seconds()}</span></div>`;
    }
    if (!shown.said) return "";
    const notes = list(shown.notes).map(note => `<li>${safe(note)}</li>`).join("");
    return `<div class="qi-any"><p class="qi-sentence">${safe(shown.said)}</p>`
      + (notes && `<div class="qi-app"><b>${safe(shown.app)}</b><ul>${notes}</ul></div>`) + "</div>";
  }

  // On a small screen the answer stands where it is seen when it comes, wherever the photo was chosen.
  function intoView() {
    const place = document.getElementById("say"), box = place?.getBoundingClientRect();
    if (!place?.offsetParent || (box.top >= 0 && box.bottom + box.height < innerHeight)) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    place.scrollIntoView({ block: "center", behavior: still ? "instant" : "smooth" });
  }

  const seconds = () => `${Math.floor((performance.now() - begun.at) / 1000)} s`;
  setInterval(() => {
    for (const clock of document.querySelectorAll(".qi-clock"))
      if (clock.textContent !== seconds()) clock.textContent = seconds();
  }, 500);

  // --- the number on its scale ---
  function gauge(shown, label) {
    const rating = Math.min(5, Math.max(1, count(shown.rating) || 1));
    const place = rated => `${(Math.min(5, Math.max(1, count(rated))) - 1) * 25}%`;
    const [low, high] = list(shown.interval), ends = list(shown.ends);
    return `<div class="qi-rated"><div class="qi-gauge" role="meter" aria-label="${safe(label)}" aria-valuemin="1"
      aria-valuemax="5" aria-valuenow="${rating}" aria-valuetext="${safe(shown.words ?? "–")} ${safe(shown.label)}">
      <b>${safe(shown.words ?? "–")}</b><span>${safe(shown.label)}</span>
      <div class="qi-scale" style="--hue: ${count(shown.hue)}"><i class="qi-track"></i>`
      + (high === undefined
        ? "" : `<i class="qi-between" style="left: ${place(low)}; right: calc(100% - ${place(high)})"></i>`)
      + (ends.length ? `<i class="qi-dot" style="left: ${place(rating)}"></i>` : "")
      + `<ol>${[ends[0], "", "", "", ends[1]].map((end, at) =>
        `<li>${at + 1}<span>${safe(end)}</span></li>`).join("")}</ol>
      </div></div>${why(shown.why)}${sure(shown)}</div>`;
  }

  // --- the fault, and the model's own odds of each severity ---
  function band(shown, label) {
    if (!shown.label) return "";
    const drawn = list(shown.levels).map(level =>
      `<li data-chosen="${level?.chosen ? "yes" : "no"}" style="--odds: ${share(level?.odds)}"><i></i>`
      + `<span>${safe(level?.name)}</span><em>${safe(level?.percent)}</em></li>`);
    return `<div class="qi-any qi-band"><b>${safe(shown.words ?? "–")}</b>${why(shown.why)}`
      + (drawn.length ? `<ol aria-label="${safe(label)}">${drawn.join("")}</ol>` : "")
      + `<span>${safe(shown.label)}</span>${sure(shown)}</div>`;
  }

  // --- the digits that the preview read, each as a bar ---
  function cues(shown, label) {
    const drawn = list(shown.cues).map(cue => {
      const name = `<span>${safe(cue?.name)}</span> <em>${count(cue?.digit)}</em>`;
      return `<li style="--odds: ${share(count(cue?.digit) / 9)}">`
        + (cue?.what ? `<details><summary>${name}</summary><p>${safe(cue.what)}</p></details>` : `<p>${name}</p>`)
        + "<i></i></li>";
    });
    if (!drawn.length) return "";
    return `<div class="qi-any qi-cues"><b>${safe(shown.title)}</b>${why(shown.why)}<ul>${drawn.join("")}</ul></div>`;
  }

  // --- the places that were looked at more closely: over the photo, and as buttons that lead there ---
  function places(shown, label) {
    const tiles = list(shown.tiles);
    qiLoupe.places(tiles.length ? shown : null);
    if (!tiles.length) return "";
    const drawn = tiles.map(([x, y, width, height, rating, named, where]) => {
      const at = [shown.photo, count(x) + count(width) / 2, count(y) + count(height) / 2];
      return `<button type="button" data-photo-at="${safe(at)}"><b>${safe(rating)}</b> ${safe(where)}`
        + `${named ? ` · <b>${safe(named)}</b>` : ""}</button>`;
    });
    return `<div class="qi-any qi-places" role="group" aria-label="${safe(label)}">`
      + `${app(shown.lines)}${drawn.join("")}</div>`;
  }
  addEventListener("click", event => {
    const [photo, x, y] = event.target.closest?.("[data-photo-at]")?.dataset.photoAt.split(",") ?? [];
    if (photo) qiLoupe.go(photo, Number(x), Number(y));
  });

  // --- a tournament: the verdict, the frames in their order, what was asked ---
  function contest(shown, label) {
    const rows = list(shown.rows);
    if (!rows.length) return "";
    const drawn = rows.map(([number, name, strength]) =>
      `<li><button type="button" data-frame="${safe(number)}">${safe(name)}</button> ${safe(strength)}</li>`);
    return `<section class="qi-any qi-contest" aria-label="${safe(label)}"><b>${safe(shown.said)}</b>`
      + `<ol>${drawn.join("")}</ol>${app(shown.lines)}</section>`;
  }

  // --- what to do, now and the next time ---
  function advice(shown) {
    const rows = list(shown.rows).map(row =>
      `<dt>${safe(list(row)[0])}</dt><dd>${safe(list(row)[1])}</dd>`);
    return rows.length ? `<dl class="qi-any qi-advice">${rows.join("")}</dl>` : "";
  }

  // Which model answers, as a chip; why that one, behind it.
  function headline(value) {
    const why = value?.why
      ? `<details><summary>${safe(value.ask)}</summary><p>${safe(value.why)}</p></details>` : "";
    return `<div class="qi-chip"><p data-say="calmly">${safe(value?.said)}</p>${why}</div>`;
  }

  for (const draw of [gauge, band, cues, advice, places, contest])
    qi[draw.name] = (tab, id, label, value) => draw(part(tab, id, value) ?? {}, label);
  Object.assign(qi, { say, headline, claims });
})();
