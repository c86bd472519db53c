/** Controls with a visible label, a tooltip and an accessible name. */

/**
 * Makes an element: its properties and attributes, then its children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, any>} properties @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && !name.startsWith("aria")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * A labelled menu; `choices(options, value)` replaces what it offers: texts or [value, text].
 * @param {HTMLElement} parent @param {string} label @param {string} hint
 * @param {(value: string) => void} change
 */
export function menu(parent, label, hint, change) {
  const select = make("select", { title: hint, "aria-label": label });
  const node = make("label", { className: "mpn-control", title: hint },
    make("span", { textContent: label }), select);
  let offered = "";
  select.addEventListener("change", () => change(select.value));
  parent.append(node);
  return {
    node, select,
    /** @param {(string | any[])[]} options @param {string | number} value */
    choices(options, value) {
      const pairs = options.map((o) => (Array.isArray(o) ? o : [o, o]));
      const text = JSON.stringify(pairs);
      if (text !== offered) {
        select.replaceChildren(...pairs.map(([v, t]) => make("option", { value: v, textContent: t })));
        offered = text;
      }
      select.value = String(value);
      node.hidden = pairs.length < 2;
    },
  };
}

/**
 * A labelled button.
 * @param {HTMLElement} parent @param {string} text @param {string} label @param {string} hint
 * @param {() => void} click
 */
export function button(parent, text, label, hint, click) {
  const node = make("button", {
    type: "button", textContent: text, title: hint,
    "aria-label": label
  });
  node.addEventListener("click", click);
  parent.append(node);
  return node;
}

/**
 * A labelled slider; `show(value, last, text)` says where it stands.
 * @param {HTMLElement} parent @param {string} label @param {string} hint
 * @param {(value: number) => void} change
 */
export function slider(parent, label, hint, change) {
  const input = make("input", { type: "range", min: 0, step: 1, title: hint, "aria-label": label });
  const output = make("output");
  input.addEventListener("input", () => change(Number(input.value)));
  parent.append(make("label", { className: "mpn-control mpn-slider", title: hint },
    make("span", { textContent: label }), input, output));
  return {
    input,
    /** @param {number} value @param {number} last @param {string} text */
    show(value, last, text) {
      if (input.max !== String(last)) input.max = String(last);
      if (input.value !== String(value)) input.value = String(value);
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/**
 * A row of switches, of which at least one is on; returns what shows names and those that are on.
 * @param {HTMLElement} parent @param {string} label @param {(on: string[]) => void} change
 */
export function toggles(parent, label, change) {
  const node = make("div", { className: "mpn-toggles", role: "group", "aria-label": label });
  let offered = "", chosen = [];
  parent.append(node);
  return (names, on) => {
    chosen = on;
    if (offered !== JSON.stringify(names)) {
      offered = JSON.stringify(names);
      node.replaceChildren();
      for (const name of names) {
        button(node, name, `show ${name}`, `Show ${name}, or not`, () => {
          const left = names.filter((other) => chosen.includes(other) !== (other === name));
          if (left.length) change(left);
        });
      }
    }
    node.hidden = names.length < 2;
    [...node.children].forEach((one, k) => { one.ariaPressed = String(on.includes(names[k])); });
  };
}

/**
 * A mask that cuts a line into dashes, as `setLineDash` does; `true` is a plain dash.
 * @param {boolean | number[]} [dash]
 */
function dashes(dash) {
  const pattern = dash === true ? [5, 3] : dash || [];
  let at = 0;
  const stops = pattern.map((long, k) => `${k % 2 ? "transparent" : "#000"} ${at}px ${at += long}px`);
  return stops.length ? `repeating-linear-gradient(90deg, ${stops.join(", ")})` : "none";
}

/**
 * A legend: entries of a colour, a name and a value; only what changed is written.
 * @param {HTMLElement} parent @returns {(entries: LegendEntry[]) => void}
 */
export function legend(parent) {
  const node = make("div", { className: "mpn-legend" });
  let shown = "", values = [];
  parent.append(node);
  return (entries) => {
    const text = JSON.stringify(entries.map(({ name, color, dash, note }) =>
      [name, color, dash, note]));
    if (text !== shown) {
      shown = text;
      values = entries.map(() => make("b"));
      node.replaceChildren(...entries.map(({ name, color, dash, note }, k) => {
        const swatch = make("i", { style: `--swatch: ${color}; --dash: ${dashes(dash)}` });
        return note ? make("span", { className: "note", textContent: name })
          : make("span", {}, swatch, name, " ", values[k]);
      }));
    }
    entries.forEach(({ value }, k) => {
      if (values[k].textContent !== (value ?? "")) values[k].textContent = value ?? "";
    });
  };
}
