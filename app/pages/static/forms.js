// What the forms share: requests to the API, problems at their fields, and values as JSON.
(() => {
  const ICON = (name) => {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    icon.setAttribute("class", "icon");
    icon.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `#i-${name}`);
    icon.append(use);
    return icon;
  };

  const headers = (more = {}) => ({ ...JSON.parse(document.body.getAttribute("hx-headers") || "{}"), ...more });

  class Problem extends Error {
    constructor(status, body) {
      super([body.detail, body.hint].filter(Boolean).map(sentence).join(" ") || `The service answered ${status}.`);
      this.status = status;
      this.code = body.code || "";
      this.fields = body.errors || [];
    }
  }

  // Send JSON to the API. Throws Problem for its errors, and TypeError where it does not answer.
  async function send(method, address, body, more = {}) {
    const answer = await fetch(address, {
      method,
      headers: headers({ ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...more.headers }),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: more.signal,
    });
    const text = await answer.text();
    let value = {};
    try { value = text ? JSON.parse(text) : {}; } catch { /* a proxy's page */ }
    if (!answer.ok) throw new Problem(answer.status, value);
    return { value, answer };
  }

  const sentence = (text) => {
    const first = text.charAt(0).toUpperCase() + text.slice(1);
    return /[.!?:]$/.test(first) ? first : `${first}.`;
  };
  const words = (error) => (error instanceof Problem ? error.message : "The service does not answer. Try again.");

  // The value of a control as the config has it. A text that is no number is sent as it is: the service explains it.
  function valueOf(control) {
    const text = control.value.trim();
    switch (control.dataset.kind) {
      case "number": return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
      case "lines": return control.value.split("\n").map((line) => line.trim()).filter(Boolean);
      case "switch": return text === "true";
      default: return text === "" ? null : text;
    }
  }

  function defaultOf(control, recipe) {
    const defaults = JSON.parse(control.dataset.defaults || "{}");
    return defaults[recipe] ?? defaults[""] ?? "";
  }

  function differs(control, recipe) {
    const normal = defaultOf(control, recipe);
    if (control.dataset.kind === "number" && control.value.trim() && normal) return Number(control.value) !== Number(normal);
    return control.value.trim() !== normal;
  }

  function clear(form) {
    for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    for (const wrong of form.querySelectorAll(".wrong")) wrong.hidden = true;
  }

  // Mark the fields of a problem; return the controls that were found, each once, and the messages without a field.
  function mark(form, fields) {
    const found = new Map(), rest = [];
    for (const { field, message } of fields) {
      const names = [field, field.split(".")[0], field.split(".").at(-1), field.split(".").slice(0, 2).join(".")];
      const box = names.map((name) => form.querySelector(`[data-field="${CSS.escape(name)}"]`)).find(Boolean);
      const control = box?.querySelector("input, select, textarea");
      if (!control) { rest.push(sentence(`${field}: ${message}`)); continue; }
      const wrong = box.querySelector(".wrong");
      control.setAttribute("aria-invalid", "true");
      wrong.querySelector("span").textContent = sentence(message);
      wrong.hidden = false;
      found.set(control, box.querySelector("label").firstChild.textContent.trim());
    }
    return { found, rest };
  }

  function line(className, iconName, ...content) {
    const paragraph = document.createElement("p"), text = document.createElement("span");
    paragraph.className = className;
    text.append(...content);
    paragraph.append(ICON(iconName), text);
    return paragraph;
  }

  const element = (tag, attributes = {}, ...content) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...content);
    return made;
  };

  // A random key for Idempotency-Key; crypto.randomUUID is missing over plain HTTP.
  const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  function duration(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }
  function size(bytes) {
    if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
    return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
  }

  // Ask for a job until it has ended, and show each answer. A lost connection is tried again.
  async function follow(id, show, signal) {
    for (let wait = 500; !signal?.aborted; wait = Math.min(2000, wait + 250)) {
      try {
        const { value } = await send("GET", `/jobs/${id}`, undefined, { signal });
        window.face.connected(true);
        show(value);
        if (value.terminal) return value;
      } catch (error) {
        if (error instanceof Problem && error.status < 500) throw error;
        if (signal?.aborted) return null;
        window.face.connected(false);
      }
      await new Promise((done) => setTimeout(done, wait));
    }
    return null;
  }

  window.forms = {
    Problem, clear, defaultOf, differs, duration, element, follow, headers, icon: ICON, key, line, mark, send, sentence, size,
    valueOf, words,
  };
})();
