// The upload of a new dataset and its import, shown live; and the check of folders that have no record.
(() => {
  const { Problem, clear, element, follow, key, line, mark, send, sentence, valueOf, words } = window.forms;

  // One row of an import: what its job does.
  async function watch(row) {
    const said = row.querySelector("[data-said]"), name = row.dataset.name;
    const show = (job) => {
      said.replaceChildren(job.waiting_for ? `waits for ${job.waiting_for}` : (job.phase || job.status));
      if (!job.terminal) said.append(element("progress", { max: "100", value: String(Math.round(100 * job.progress)), "aria-label": `Progress of ${name}` }));
      if (job.error) said.replaceChildren(line("wrong", "failed", `${sentence(job.error.message)} ${sentence(job.error.hint)}`));
    };
    const job = await follow(row.dataset.import, show);
    if (job?.status === "succeeded") location.assign(`/ui/datasets/${name.split("/").map(encodeURIComponent).join("/")}`);
  }
  for (const row of document.querySelectorAll("[data-import]")) watch(row).catch(() => {});

  for (const button of document.querySelectorAll("[data-registers]")) {
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const { value } = await send("POST", "/datasets", { dataset: button.dataset.registers });
        location.assign(`/ui/datasets/${value.name.split("/").map(encodeURIComponent).join("/")}`);
      } catch (error) {
        button.disabled = false;
        window.face.toast(words(error));
      }
    });
  }

  const form = document.getElementById("import");
  if (!form) return;
  const input = document.getElementById("file"), name = document.getElementById("dataset-name");
  const state = document.getElementById("upload-state");
  const picked = window.uploads.picker(form, (file) => {
    if (!name.value) name.value = file.name.replace(/(\.tar)?\.\w+$/i, "").replace(/[^\w.-]+/g, "-").replace(/^[.-]+/, "");
    state.replaceChildren();
  }, (message) => state.replaceChildren(line("wrong", "failed", message)));

  function options() {
    const values = {};
    for (const control of form.querySelectorAll("[data-kind]")) if (control.value.trim() !== "") values[control.name] = valueOf(control);
    return values;
  }

  async function build(chosen, upload) {
    const body = { name: name.value.trim(), upload, options: options() };
    const { value } = await send("POST", "/datasets", body, { headers: { "Idempotency-Key": key() } });
    window.uploads.forget(chosen);
    const row = element("div", { "data-import": value.id, "data-name": body.name }, element("p", { class: "meta", "data-said": "" }, "Building."));
    state.replaceChildren(row);
    await watch(row);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]"), chosen = picked();
    clear(form);
    if (!chosen) {
      state.replaceChildren(line("wrong", "failed", "Choose a zip or tar file first."));
      input.focus();
      return;
    }
    if (!name.value.trim()) {
      mark(form, [{ field: "name", message: "is missing" }]);
      name.focus();
      return;
    }
    button.disabled = true;
    try {
      await build(chosen, await window.uploads.upload(chosen, window.uploads.progress(state)));
    } catch (error) {
      const { found, rest } = mark(form, error instanceof Problem ? error.fields : []);
      const [first] = found.keys();
      state.replaceChildren(...(found.size ? rest : [words(error)]).map((text) => line("wrong", "failed", text)));
      if (first) {
        for (let box = first.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
        first.focus();
      }
    }
    button.disabled = false;
  });
})();
