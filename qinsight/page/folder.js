// A folder, chosen or dropped, with the folders in it: Gradio sends the names of files only, so each name is given its
// place in the folder. What was found is told to the page as `qi-folder`. Loaded first, to see a drop before anybody.
(() => {
  "use strict";

  function placed(file, parts) {
    while (parts.length > 1 && parts.join("/").length > 60) parts.shift(); // Gradio cuts names at 200 bytes
    const { type, lastModified } = file;
    return new File([file], parts.join("\u2215") || file.name, { type, lastModified });
  }

  const tell = (target, files) => dispatchEvent(new CustomEvent("qi-folder", { detail: { target, files } }));

  async function walked(entry, above) {
    const asked = (name, ...given) => new Promise((done, fail) => entry[name](...given, done, fail));
    if (entry.isFile) return asked("file").then(file => [placed(file, [...above, entry.name])], () => []);
    const reader = entry.createReader(), found = [];
    for (let some = [0]; some.length; found.push(...some)) // a hundred at a time
      some = await new Promise(done => reader.readEntries(done, () => done([])));
    const inside = entry.fullPath.lastIndexOf("/") ? [...above, entry.name] : [];
    return (await Promise.all(found.filter(Boolean).map(one => walked(one, inside)))).flat();
  }

  addEventListener("drop", event => {
    const entries = [...event.dataTransfer?.items ?? []].map(one => one.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some(one => one.isDirectory)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    dispatchEvent(new Event("qi-dropped"));
    Promise.all(entries.map(one => walked(one, []))).then(all => tell(event.target, all.flat()));
  }, true);

  const field = Object.assign(document.createElement("input"), { type: "file", webkitdirectory: true });
  field.onchange = () => {
    tell(document.body, [...field.files].map(file => placed(file, file.webkitRelativePath.split("/").slice(1))));
    field.value = "";
  };
  addEventListener("click", event => { if (event.target.closest?.("#choose-folder")) field.click(); });
})();
