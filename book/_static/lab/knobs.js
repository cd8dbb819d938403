// 旋钮：滑块、选单、类别框。values 里存现在的值；变了就叫 changed(name)。
function labKnob(control, values, changed) {
  const element = labElement;
  const { named } = labExperiments;

  function set(value) {
    values[control.name] = value;
  }

  function slider() {
    const { label, low, high, step } = control;
    const value = values[control.name] ?? control.value;
    const output = element("span", {}, String(value));
    const box = element("input", { type: "range", min: low, max: high, step, value });
    set(value);
    box.addEventListener("input", () => {
      set(Number(box.value));
      output.textContent = box.value;
      changed(control.name, false);
    });
    box.addEventListener("change", () => changed(control.name, true));
    return element("label", {}, element("span", {}, `${label} `, output), box);
  }

  function choice() {
    const known = values[control.name] in control.options;
    const value = known ? values[control.name] : control.value;
    const options = Object.entries(control.options).map(([key, text]) =>
      element("option", { value: key, selected: key === value }, text),
    );
    const box = element("select", {}, ...options);
    set(value);
    box.addEventListener("change", () => {
      set(box.value);
      changed(control.name, true);
    });
    return element("label", {}, control.label, box);
  }

  // 类别：编号、中文名、英文名都认，打字时列出相近的
  function category() {
    const shown = (index) => `${index} ${labCategories[index].join(" ")}`;
    const list = "lab-categories";
    if (!document.getElementById(list)) {
      const options = labCategories.map((_, index) => element("option", { value: shown(index) }));
      document.body.append(element("datalist", { id: list }, ...options));
    }
    const box = element("input", { value: shown(values[control.name]), autocomplete: "off" });
    box.setAttribute("list", list);
    box.addEventListener("focus", () => box.select());
    box.addEventListener("change", () => {
      const found = findCategory(box.value.trim());
      if (found >= 0) set(found);
      box.value = shown(values[control.name]);
      if (found >= 0) changed(control.name, true);
    });
    return element("label", { className: "lab-wide" }, control.label, box);
  }

  function findCategory(text) {
    if (/^\d+/.test(text)) return parseInt(text) < labCategories.length ? parseInt(text) : -1;
    const exact = labCategories.findIndex((names) => names.includes(text));
    if (exact >= 0 || text === "") return exact;
    return labCategories.findIndex((names) => names.some((name) => name.includes(text)));
  }

  return { slider, choice, category }[control.type]();
}
