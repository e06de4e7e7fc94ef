"""The page's script: it filters the dialogues and exports tables as CSV or LaTeX. The page is complete without it.

It reads only the page itself and makes no network request.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(() => {
  const all = (where, what) => [...where.querySelectorAll(what)];
  const cells = table => all(table, "tr").map(row => all(row, "th, td").map(cell =>
    (cell.dataset.value ?? cell.innerText).trim().replace(/\s+/g, " ")));
  const csv = rows => rows.map(row => row.map(text =>
    /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text).join(",")).join("\r\n") + "\r\n";
  const tex = text => text.replace(/[\\{}$&#^_%~]/g, sign =>
    ({"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}"}[sign] ?? "\\" + sign))
    .replace(/±/g, "$\\pm$").replace(/−/g, "$-$").replace(/–/g, "--").replace(/[↓→]/g, "");
  const latex = rows => {
    const [head, ...body] = rows.map(row => row.map(tex).join(" & ") + " \\\\");
    return ["\\begin{tabular}{l" + "r".repeat(Math.max(rows[0].length - 1, 0)) + "}", "\\toprule", head, "\\midrule",
      ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  };
  const save = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "text/plain;charset=utf-8"}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  for (const table of all(document, "table[data-name]")) {
    const bar = document.createElement("div");
    bar.className = "hand-on";
    for (const [kind, write, end] of [["CSV", csv, "csv"], ["LaTeX", latex, "tex"]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.title = "Save this table as " + kind;
      button.addEventListener("click", () => save(table.dataset.name + "." + end, write(cells(table))));
      bar.append(button);
    }
    table.closest(".scroll").after(bar);
  }
  const filter = document.querySelector("#filter");
  if (!filter) return;
  const dialogues = all(document, "details.dialogue"), count = filter.querySelector("output");
  const wanted = name => filter.elements[name].value;
  const apply = () => {
    const text = wanted("text").trim().toLowerCase();
    const [truth, guess, speaker] = ["true", "predicted", "speaker"].map(wanted);
    const wrong = filter.elements.wrong.checked, narrowed = Boolean(text || truth || guess || speaker || wrong);
    let shown = 0, turns = 0;
    for (const dialogue of dialogues) {
      let hits = 0;
      for (const turn of all(dialogue, "tr[data-predicted]")) {
        const data = turn.dataset;
        const hit = (!truth || data.true === truth) && (!guess || data.predicted === guess)
          && (!speaker || data.speaker === speaker) && (!wrong || "wrong" in data)
          && (!text || turn.innerText.toLowerCase().includes(text) || turn.textContent.toLowerCase().includes(text));
        turn.classList.toggle("hit", narrowed && hit);
        hits += hit;
      }
      dialogue.hidden = !hits;
      if (narrowed && hits) dialogue.open = true;
      shown += Boolean(hits);
      turns += hits;
    }
    count.textContent = `${turns} turns in ${shown} of ${dialogues.length} dialogues`;
  };
  filter.hidden = false;
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", event => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(apply));
  apply();
})();
"""
