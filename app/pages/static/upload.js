// Sends a file by tus (POST /uploads, then PATCH in parts), goes on after a lost connection and after the page was closed.
(() => {
  const PART = 8 * 2 ** 20, LONGEST_WAIT = 15000;
  const { Problem, element, headers, send, size } = window.forms;
  const tus = (more) => headers({ "Tus-Resumable": "1.0.0", ...more });
  const remembered = (file) => `upload:${file.name}:${file.size}:${file.lastModified}`;
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  async function problemOf(answer) {
    try { return new Problem(answer.status, await answer.json()); } catch { return new Problem(answer.status, {}); }
  }

  async function begin(file) {
    const answer = await fetch("/uploads", {
      method: "POST",
      headers: tus({ "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name)}` }),
    });
    if (!answer.ok) throw await problemOf(answer);
    const { id } = await answer.json();
    localStorage.setItem(remembered(file), id);
    return { id, offset: 0 };
  }

  // Where the upload of this file stands: the one that was begun before, if the service still has it.
  async function find(file) {
    const id = localStorage.getItem(remembered(file));
    if (id) {
      try {
        const { value } = await send("GET", `/uploads/${id}`);
        if (value.length === file.size && !value.job) return { id, offset: value.offset };
      } catch (error) {
        if (!(error instanceof Problem) || error.status >= 500) throw error;
      }
      localStorage.removeItem(remembered(file));
    }
    return begin(file);
  }

  // One PATCH with its progress, which fetch cannot tell.
  function patch(id, offset, part, onSent) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open("PATCH", `/uploads/${id}`);
      const all = tus({ "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" });
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", (event) => onSent(offset + event.loaded));
      request.addEventListener("error", () => fail(new TypeError("connection lost")));
      request.addEventListener("load", () => {
        if (request.status === 204) return done(Number(request.getResponseHeader("Upload-Offset")));
        let body = {};
        try { body = JSON.parse(request.responseText); } catch { /* a proxy's page */ }
        return fail(new Problem(request.status, body));
      });
      request.send(part);
    });
  }

  // Send the whole file; return the id of the upload. show(sent, total, waiting) is called often.
  async function upload(file, show) {
    let wait = 500, state = null;
    for (;;) {
      try {
        state ??= await find(file);
        show(state.offset, file.size, false);
        while (state.offset < file.size) {
          const part = file.slice(state.offset, state.offset + PART);
          state.offset = await patch(state.id, state.offset, part, (sent) => show(sent, file.size, false));
          wait = 500;
        }
        return state.id;
      } catch (error) {
        const passes = !(error instanceof Problem) || error.status >= 500 || [409, 423, 429].includes(error.status);
        if (!passes || error.status === 507) throw error;
        show(state?.offset ?? 0, file.size, true);
        state = null; // ask the service for the offset again
        await pause(wait);
        wait = Math.min(LONGEST_WAIT, 2 * wait);
      }
    }
  }

  // The choice of a file by a click, the keyboard or a drop. Return a function that returns the file.
  function picker(form, onChoice, onRefusal = () => {}) {
    const drop = form.querySelector(".drop"), input = document.getElementById(drop.htmlFor);
    let chosen = null;
    const choose = (file) => {
      if (!file) return;
      chosen = file;
      drop.querySelector("[data-file-name]").textContent = `${file.name}, ${size(file.size)}`;
      onChoice(file);
    };
    input.addEventListener("change", () => choose(input.files[0]));
    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.items?.[0]?.webkitGetAsEntry?.()?.isDirectory) onRefusal("That is a folder: pack it as a zip file first, then drop the zip.");
      else choose(event.dataTransfer.files[0]);
    });
    return () => chosen;
  }

  // Return a function that shows in `box` how much was sent.
  function progress(box) {
    const text = element("p", { class: "meta" }), bar = element("progress", { max: "100", "aria-label": "Upload" });
    return (sent, total, waiting) => {
      if (!box.contains(bar)) box.replaceChildren(text, bar);
      bar.value = total ? Math.round((100 * sent) / total) : 100;
      const there = `${size(sent)} of ${size(total)} sent.`;
      text.textContent = waiting ? `${there} The connection is lost; the upload goes on by itself.` : there;
    };
  }

  window.uploads = { picker, progress, upload, forget: (file) => localStorage.removeItem(remembered(file)) };
})();
