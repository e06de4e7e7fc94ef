"""The report's stylesheet, light and dark. It fills wide screens, fits phones, and breaks no figure between pages."""

from __future__ import annotations

from bigfusion.model.report.theme import THEME

STYLE = (
    THEME
    + """
@media (prefers-color-scheme: dark) { svg .curve, svg circle, .bar i { filter: brightness(1.4); } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 44px 40px 64px; }
header { border-bottom: 2px solid var(--ink); padding-bottom: 18px; margin-bottom: 26px; }
.over { margin: 0; color: var(--soft); font-size: 13px; letter-spacing: .06em; text-transform: uppercase; }
h1 { margin: 4px 0 6px; font-size: 34px; line-height: 1.15; letter-spacing: -.01em; }
.facts { margin: 0; color: var(--soft); }
h2 { margin: 46px 0 6px; font-size: 20px; letter-spacing: -.005em; }
h3 { margin: 26px 0 6px; font-size: 15px; }
p { margin: 8px 0; max-width: 84ch; }
.lead { color: var(--soft); margin-bottom: 14px; }
.demo { margin: 0 0 18px; padding: 14px 18px; max-width: none; border: 1px solid var(--demo-rule);
  border-left-width: 6px; background: var(--demo); border-radius: 4px; }
.notes { margin: 0 0 18px; padding: 12px 18px 12px 36px; background: var(--wash); border-radius: 4px; }
.hero { display: flex; flex-wrap: wrap; gap: 12px 40px; align-items: center; margin: 22px 0 10px; }
.hero .score { line-height: 1.1; }
.hero .value { font-size: 58px; font-weight: 650; letter-spacing: -.02em; }
.hero .spread { font-size: 22px; color: var(--soft); }
.hero .of { display: block; margin-top: 6px; color: var(--soft); }
.hero svg { flex: 1 1 420px; min-width: 0; }
.box { min-width: 0; }
.two th, .two td { padding-left: 6px; padding-right: 6px; }
.side th, .side td { padding-left: 8px; padding-right: 8px; }
.two, .side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 0 48px;
  align-items: start; }
.side { grid-template-columns: repeat(auto-fit, minmax(min(100%, 370px), 1fr)); }
.two > section { min-width: 0; }
.two tbody th, .side tbody th { white-space: normal; }
.two table.confusion td { min-width: 46px; padding: 7px 3px; }
.two table.confusion thead th { font-size: 11.5px; padding-left: 4px; padding-right: 4px; }
.two table.confusion thead th:first-child { padding-right: 12px; white-space: normal; }
.scroll { overflow-x: auto; margin: 10px 0 4px; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 14px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 2px; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; border-bottom: 1px solid var(--ink);
  vertical-align: bottom; }
tbody th { font-weight: 500; }
tr.best th, tr.best td { font-weight: 650; }
.spread-in { color: var(--soft); font-size: 13px; }
.hand-on { display: flex; gap: 6px; margin: 2px 0 10px; }
button, select, input { font: inherit; color: inherit; }
.hand-on button, #filter button { padding: 1px 10px; border: 1px solid var(--rule); border-radius: 10px;
  background: none; color: var(--soft); font-size: 12px; cursor: pointer; }
.hand-on button:hover, #filter button:hover { color: var(--ink); border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.bar { display: inline-block; width: 120px; height: 10px; margin-left: 12px; background: var(--wash);
  border-radius: 2px; vertical-align: middle; }
@media (min-width: 1168px) { .two .bar { width: 56px; margin-left: 8px; } .two thead th { white-space: normal; } }
.bar i { display: block; height: 100%; border-radius: 2px; }
table.confusion td { min-width: 58px; text-align: center; padding: 7px 6px; line-height: 1.25;
  border: 2px solid var(--page); background: color-mix(in srgb, var(--shade) var(--share), var(--page)); }
table.confusion td.strong { color: var(--on-shade); }
table.confusion td small { display: block; font-size: 11px; opacity: .78; }
table.confusion thead th { text-align: center; border: 0; padding-left: 4px; padding-right: 4px; }
table.confusion tbody th { border: 0; padding-right: 14px; }
#filter { display: flex; flex-wrap: wrap; gap: 8px 18px; align-items: center; margin: 6px 0 16px; padding: 10px 14px;
  background: var(--wash); border-radius: 6px; font-size: 14px; }
#filter[hidden], details.dialogue[hidden] { display: none; }
#filter select, #filter input[type=search] { padding: 3px 6px; border: 1px solid var(--rule); border-radius: 4px;
  background: var(--page); max-width: 46vw; }
#filter output { color: var(--soft); }
details.dialogue { border-top: 1px solid var(--rule); padding: 6px 0; }
details.dialogue summary { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; padding: 4px 2px;
  cursor: pointer; list-style: none; }
details.dialogue summary::-webkit-details-marker { display: none; }
details.dialogue summary > span:first-child { min-width: 250px; }
details.dialogue summary b { font-weight: 600; overflow-wrap: anywhere; }
details.dialogue summary b::before { content: "▸ "; color: var(--soft); }
details.dialogue[open] summary b::before { content: "▾ "; }
details.dialogue summary a { color: var(--accent); }
.strip { display: flex; flex-wrap: wrap; gap: 3px; }
.strip span { display: grid; gap: 2px; padding: 2px; border-radius: 4px; }
.strip span.wrong { box-shadow: 0 0 0 1.5px var(--ink); }
.strip i { display: block; width: 16px; height: 11px; border-radius: 2px; background: var(--rule); }
table.turns { width: 100%; margin: 4px 0 14px; }
table.turns th, table.turns td { padding-top: 4px; padding-bottom: 4px; vertical-align: top; text-align: left; }
table.turns td { white-space: normal; }
table.turns td:nth-child(3) { width: 60%; overflow-wrap: anywhere; }
table.turns td:nth-last-child(-n+2) { white-space: nowrap; }
table.turns th:first-child { color: var(--soft); font-weight: 400; }
table.turns tr.hit td { background: color-mix(in srgb, var(--accent) 14%, var(--page)); }
table.plain th, table.plain td { padding-top: 3px; padding-bottom: 3px; }
table.plain thead th { text-align: left; }
table.plain td { text-align: left; white-space: normal; overflow-wrap: anywhere; font-size: 13px; }
table.plain tbody th { white-space: normal; }
code { font: 12.5px/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 18px 40px; }
.chip { display: inline-block; padding: 0 9px; border-radius: 10px; font-size: 12.5px; line-height: 20px;
  white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 10px; margin: 10px 0 16px; color: var(--soft); font-size: 13px; }
.dot { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 50%; }
.warn { padding: 10px 16px; border-left: 4px solid var(--warn-rule); background: var(--warn); max-width: none; }
.in-print { display: none; }
footer { margin-top: 54px; padding-top: 14px; border-top: 1px solid var(--rule); color: var(--soft); font-size: 13px; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
svg.wide { display: block; } svg.narrow { display: none; }
svg text { font-size: 12.5px; fill: var(--ink); }
svg .tick, svg .note { font-size: 11.5px; fill: var(--soft); }
svg .layer { font-size: 12.5px; }
svg .strong { font-weight: 650; font-size: 13px; }
svg .axis { stroke: var(--ink); stroke-width: 1; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .pointer { fill: var(--ink); }
svg .reference { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 3 3; }
svg .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .chosen { fill: var(--page); stroke-width: 2; }
@media (max-width: 640px) {
  main { padding: 24px 16px 40px; }
  h1 { font-size: 26px; }
  svg.wide { display: none; } svg.narrow { display: block; }
  th, td { padding: 5px 7px; font-size: 14px; }
  thead th { white-space: normal; font-size: 12px; }
  tbody th { white-space: normal; }
  .bar { display: none; }
  .spread-in { display: block; font-size: 11.5px; line-height: 1.2; }
  table.confusion td { min-width: 0; padding: 6px 2px; font-size: 12px; border-width: 1px; }
  table.confusion td small { font-size: 10px; }
  table.confusion thead th:first-child { font-size: 11px; }
  table.confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); }
  table.confusion tbody th { font-size: 12.5px; padding-right: 4px; }
  table.confusion { width: 100%; table-layout: fixed; }
  table.confusion th:first-child { width: 68px; white-space: normal; }
  table.turns, table.turns tbody, table.turns tr, table.turns td { display: block; width: auto; }
  table.turns thead { display: none; }
  table.turns tr { padding: 8px 4px; border-bottom: 1px solid var(--rule); }
  table.turns tr > * { border: 0; padding: 1px 0; display: inline; }
  table.turns td:nth-child(3) { display: block; width: auto; }
  table.turns td[data-title] { margin-right: 12px; display: inline-block; }
  table.turns td[data-title]::before { content: attr(data-title) " "; color: var(--soft); font-size: 12px; }
  details.dialogue summary > span:first-child { min-width: 0; }
}
@media print {
  @page { margin: 15mm 13mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 24px; }
  h2, h3, .lead, thead, .legend { break-after: avoid; }
  p { break-inside: avoid; orphans: 3; widows: 3; }
  .two, .side, .pair { display: block; }
  table, tr, svg, .hero, .pair > *, figure, details.dialogue { break-inside: avoid; }
  table.plain { break-inside: auto; }
  .scroll { overflow: visible; }
  .hand-on, #filter, details.dialogue { display: none !important; }
  details.dialogue.printed { display: block !important; }
  details.dialogue summary b::before { content: "" !important; }
  details.dialogue::details-content { content-visibility: visible; block-size: auto; }
  .in-print { display: inline; }
  table.plain td, table.plain th { font-size: 8.5pt; padding-top: 1px; padding-bottom: 1px; white-space: normal; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
)
