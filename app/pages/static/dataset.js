// One dataset: its check shown live, check again, share, delete.
(() => {
  const { follow, send, words } = window.forms;
  const check = document.querySelector("[data-check]");
  if (check) {
    const said = check.querySelector("[data-said]");
    follow(check.dataset.check, (job) => {
      const where = job.waiting_for ? `Waits for ${job.waiting_for}` : `Checking, ${Math.round(100 * job.progress)}%`;
      said.textContent = job.error ? `${job.error.message}. ${job.error.hint}.` : where;
    }).then((job) => { if (job?.status === "succeeded") location.reload(); }).catch(() => {});
  }

  async function change(button, work) {
    button.disabled = true;
    try {
      await work();
      location.reload();
    } catch (error) {
      button.disabled = false;
      window.face.toast(words(error));
    }
  }

  document.querySelector("[data-registers]")?.addEventListener("click", (event) => {
    const button = event.currentTarget;
    change(button, () => send("POST", "/datasets", { dataset: button.dataset.registers }));
  });
  document.querySelector("[data-shares]")?.addEventListener("click", (event) => {
    const button = event.currentTarget;
    change(button, () => send("PATCH", `/datasets/${button.dataset.shares}`, { shared: button.dataset.shared === "true" }));
  });

  const remove = document.querySelector("[data-deletes]"), dialog = document.getElementById("confirm");
  remove?.addEventListener("click", () => {
    remove.closest("details").open = false;
    dialog.showModal();
  });
  dialog?.querySelector("[data-confirms]").addEventListener("click", async (event) => {
    event.preventDefault();
    const wrong = document.getElementById("confirm-e");
    try {
      await send("DELETE", `/datasets/${remove.dataset.deletes}?files=${remove.dataset.files}`);
      location.assign("/ui/datasets");
    } catch (error) {
      wrong.querySelector("span").textContent = words(error);
      wrong.hidden = false;
    }
  });
})();
