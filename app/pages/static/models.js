// The upload of weights, and the buttons of uploaded ones.
(() => {
  const { Problem, clear, line, mark, send, words } = window.forms;
  const form = document.getElementById("weights"), dialog = document.getElementById("confirm");
  if (!form) return;
  const name = document.getElementById("weights-name"), state = document.getElementById("upload-state");
  const picked = window.uploads.picker(form, (file) => {
    if (!name.value) name.value = file.name;
    state.replaceChildren();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]"), file = picked();
    clear(form);
    if (!file) {
      state.replaceChildren(line("wrong", "failed", "Choose a weights file first."));
      document.getElementById("file").focus();
      return;
    }
    button.disabled = true;
    try {
      const upload = await window.uploads.upload(file, window.uploads.progress(state));
      await send("POST", "/weights", { name: name.value.trim(), upload });
      window.uploads.forget(file);
      location.reload();
    } catch (error) {
      const { found, rest } = mark(form, error instanceof Problem ? error.fields : []);
      state.replaceChildren(...(found.size ? rest : [words(error)]).map((text) => line("wrong", "failed", text)));
      found.keys().next().value?.focus();
      button.disabled = false;
    }
  });

  for (const button of document.querySelectorAll("[data-shares]")) {
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await send("PATCH", `/weights/${encodeURIComponent(button.dataset.shares)}`, { shared: button.dataset.shared === "true" });
        location.reload();
      } catch (error) {
        button.disabled = false;
        window.face.toast(words(error));
      }
    });
  }

  let named = "";
  for (const button of document.querySelectorAll("[data-deletes]")) {
    button.addEventListener("click", () => {
      named = button.dataset.deletes;
      dialog.querySelector("[data-what]").textContent = named;
      document.getElementById("confirm-e").hidden = true;
      dialog.showModal();
    });
  }
  dialog.querySelector("[data-confirms]").addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await send("DELETE", `/weights/${encodeURIComponent(named)}`);
      location.reload();
    } catch (error) {
      const wrong = document.getElementById("confirm-e");
      wrong.querySelector("span").textContent = words(error);
      wrong.hidden = false;
    }
  });
})();
