// “说法与实测”一页：按判定和按字筛选各行；没有内核也能用，不出本页
const claimRows = () => [...document.querySelectorAll("tr")].filter((row) => row.querySelector("[id^='row-']"));

function filterClaims(bar) {
  const words = bar.querySelector("input").value.trim().split(/\s+/).filter(Boolean);
  const verdict = bar.querySelector("select").value;
  let shown = 0;
  for (const row of claimRows()) {
    const judged = row.cells[2].textContent.trim().startsWith(verdict);
    row.hidden = !(judged && words.every((word) => row.textContent.includes(word)));
    shown += row.hidden ? 0 : 1;
  }
  for (const section of document.querySelectorAll("section section")) {
    const rows = [...section.querySelectorAll("tbody tr")];
    section.hidden = rows.length > 0 && rows.every((row) => row.hidden);
  }
  bar.querySelector("output").textContent = `${shown} 条`;
}

document.addEventListener("DOMContentLoaded", () => {
  const title = document.querySelector("h1");
  if (!title || !document.getElementById("row-1") || !claimRows().length) return;
  const bar = document.createElement("p");
  bar.className = "cnnlab-claims-filter";
  bar.innerHTML =
    '<label>判定 <select><option value="">全部</option><option>✔</option><option>◐</option>' +
    "<option>✘</option><option>ⓘ</option></select></label> " +
    '<label>含有的字 <input type="search"></label> <output aria-live="polite"></output>';
  bar.addEventListener("input", () => filterClaims(bar));
  title.after(bar);
  filterClaims(bar);
});
