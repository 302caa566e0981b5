// The form of a new job: its config, its check as one types, the measured estimate, and the submission.
(() => {
  const { clear, defaultOf, differs, duration, element, follow, key, line, mark, send, size, valueOf, words } = window.forms;
  const form = document.getElementById("new"), check = document.getElementById("check");
  const controls = [...form.querySelectorAll("[data-kind]")];
  const advanced = document.getElementById("advanced");
  let asked = null, waiting = null, measuring = null, submissionKey = key();

  const recipe = () => form.querySelector("input[name=recipe]:checked").value;
  let shownRecipe = recipe();

  function config() {
    const values = {};
    if (recipe() !== "guide") values.recipe = recipe();
    for (const control of controls) {
      if (control.value.trim() === "" && control.dataset.kind !== "lines") continue; // the recipe's default
      if (control.name === "dataset" || differs(control, recipe())) values[control.name] = valueOf(control);
    }
    return values;
  }

  function labels() {
    const query = new URLSearchParams();
    const name = document.getElementById("job-name").value.trim();
    if (name) query.set("name", name);
    for (const tag of document.getElementById("job-tags").value.split(",").map((each) => each.trim()).filter(Boolean)) query.append("tag", tag);
    return query;
  }

  // What differs from the recipe ---------------------------------------------------------------------------------------
  function showChanges() {
    let count = 0;
    for (const control of controls) {
      const changed = form.querySelector(`[data-field="${control.name}"] .changed`);
      const differ = control.name !== "dataset" && control.value.trim() !== "" && differs(control, recipe());
      changed.hidden = !differ;
      changed.textContent = differ ? `changed, recipe ${defaultOf(control, recipe()) || "none"}` : "";
      if (differ && advanced.contains(control)) count += 1;
    }
    const all = controls.filter((control) => advanced.contains(control)).length;
    advanced.querySelector("[data-advanced-count]").textContent = `${all} fields, ${count ? `${count} changed` : "all as the recipe has them"}`;
    document.getElementById("config").textContent = command();
  }

  // A value as a POSIX shell takes it.
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  function command() {
    const parts = Object.entries(config()).map(([name, value]) => `--set ${quoted(`${name}=${Array.isArray(value) ? JSON.stringify(value) : value ?? "null"}`)}`);
    const query = labels();
    if (query.get("name")) parts.push(`--name ${quoted(query.get("name"))}`);
    for (const tag of query.getAll("tag")) parts.push(`--tag ${quoted(tag)}`);
    return ["edgeface-finetune submit", ...parts].join(" \\\n  ");
  }

  function changeRecipe() {
    for (const control of controls) if (!differs(control, shownRecipe)) control.value = defaultOf(control, recipe());
    shownRecipe = recipe();
  }

  // The check ----------------------------------------------------------------------------------------------------------
  function showProblem(error) {
    const { found, rest } = mark(form, error.fields || []);
    const links = [];
    for (const [control, label] of found) {
      const link = element("a", { href: `#${control.id}` }, label);
      link.addEventListener("click", (event) => { event.preventDefault(); reach(control); });
      links.push(links.length ? ", " : "", link);
    }
    const title = found.size === 1 ? "One field to correct: " : `${found.size} fields to correct: `;
    const lines = found.size ? [line("wrong", "failed", element("strong", {}, title), ...links)] : [];
    const said = found.size ? rest : [words(error)];
    check.replaceChildren(...lines, ...said.map((text) => line("wrong", "failed", text)));
  }

  function reach(control) {
    for (let box = control.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    control.focus();
  }

  function showChecked(answer) {
    const list = element("ul", { class: "list checks" });
    const said = answer.warnings.length ? answer.warnings.map((each) => ["note", each.message]) : [["check", "The config and its files are right."]];
    for (const [icon, text] of said) list.append(element("li", {}, window.forms.icon(icon), element("span", {}, window.forms.sentence(text))));
    check.replaceChildren(list);
  }

  async function look() {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const query = labels();
      query.set("dry_run", "true");
      const { value } = await send("POST", `/jobs?${query}`, config(), { signal: mine.signal });
      clear(form);
      showChecked(value);
    } catch (error) {
      if (mine.signal.aborted) return;
      clear(form);
      showProblem(error);
    }
  }

  function changed() {
    submissionKey = key(); // another job than the one that was sent before
    showChanges();
    clearTimeout(waiting);
    waiting = setTimeout(look, 350);
  }

  // The estimate -------------------------------------------------------------------------------------------------------
  function showEstimate(box, job) {
    if (!job.terminal) {
      box.replaceChildren(element("p", { class: "meta" }, job.waiting_for ? `Waits for ${job.waiting_for}.` : "Measuring some steps."),
        element("progress", { max: "100", value: String(Math.round(100 * job.progress)), "aria-label": "Progress of the measurement" }));
      return;
    }
    if (!job.estimate) {
      box.replaceChildren(line("wrong", "failed", job.error ? window.forms.sentence(job.error.message) : `The measurement was ${job.status}.`));
      return;
    }
    const { seconds, process_bytes: memory, device_bytes: gpu, checkpoint_bytes: file, device } = job.estimate;
    const pairs = [
      ["Time", `${duration(seconds.likely)} (${duration(seconds.low)} to ${duration(seconds.high)})`],
      ["On", device], ["Memory", size(memory)], ...(gpu ? [["GPU memory", size(gpu)]] : []), ["Model files", size(file)],
    ];
    box.replaceChildren(element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
  }

  async function measure() {
    const button = document.getElementById("measure"), box = document.getElementById("measured");
    measuring?.abort();
    const mine = (measuring = new AbortController());
    button.disabled = true;
    box.replaceChildren(element("p", { class: "meta" }, "Sending."));
    try {
      const { value } = await send("POST", "/jobs?dry_run=estimate", config(), { signal: mine.signal });
      await follow(value.id, (job) => showEstimate(box, job), mine.signal);
    } catch (error) {
      box.replaceChildren();
      clear(form);
      showProblem(error);
    }
    button.disabled = false;
  }

  // The submission -----------------------------------------------------------------------------------------------------
  async function submit(event) {
    event.preventDefault();
    const button = document.querySelector("[type=submit][form=new]");
    clearTimeout(waiting);
    asked?.abort();
    button.disabled = true;
    try {
      const { value } = await send("POST", `/jobs?${labels()}`, config(), { headers: { "Idempotency-Key": submissionKey } });
      location.assign(form.getAttribute("data-job-page") + value.id); // form.dataset is the field of this name
    } catch (error) {
      button.disabled = false;
      clear(form);
      showProblem(error);
      const first = form.querySelector("[aria-invalid]");
      if (first) reach(first);
    }
  }

  form.addEventListener("input", (event) => {
    if (event.target.name === "recipe") changeRecipe();
    changed();
  });
  form.addEventListener("submit", submit);
  document.getElementById("measure").addEventListener("click", measure);
  showChanges();
  if (document.getElementById("dataset").value) look();
})();
