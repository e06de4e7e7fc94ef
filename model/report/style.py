"""The report's look: one column, restrained colours, figures in even widths; the same on paper."""

from __future__ import annotations

STYLE = """
:root { --ink: #1f2933; --soft: #616e7c; --rule: #dde3ea; --wash: #f6f8fa; --accent: #2b5c8a; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 44px 32px 64px; }
header { border-bottom: 2px solid var(--ink); padding-bottom: 18px; margin-bottom: 26px; }
.over { margin: 0; color: var(--soft); font-size: 13px; letter-spacing: .06em; text-transform: uppercase; }
h1 { margin: 4px 0 6px; font-size: 34px; line-height: 1.15; letter-spacing: -.01em; }
.facts { margin: 0; color: var(--soft); }
h2 { margin: 46px 0 6px; font-size: 20px; letter-spacing: -.005em; }
h3 { margin: 26px 0 6px; font-size: 15px; }
p { margin: 8px 0; max-width: 76ch; }
.lead { color: var(--soft); margin-bottom: 14px; }
.demo { margin: 0 0 18px; padding: 14px 18px; max-width: none; border: 1px solid #d9a520; border-left-width: 6px;
  background: #fff8e1; border-radius: 4px; }
.notes { margin: 0 0 18px; padding: 12px 18px 12px 36px; background: var(--wash); border-radius: 4px; }
.hero { display: flex; flex-wrap: wrap; gap: 12px 40px; align-items: center; margin: 22px 0 10px; }
.hero .score { line-height: 1.1; }
.hero .value { font-size: 58px; font-weight: 650; letter-spacing: -.02em; }
.hero .spread { font-size: 22px; color: var(--soft); }
.hero .of { display: block; margin-top: 6px; color: var(--soft); }
.hero svg { flex: 1 1 420px; min-width: 0; }
.scroll { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 14px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 2px; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; border-bottom: 1px solid var(--ink);
  vertical-align: bottom; }
tbody th { font-weight: 500; }
tr.best th, tr.best td { font-weight: 650; }
.spread-in { color: var(--soft); font-size: 13px; }
.bar { display: inline-block; width: 120px; height: 10px; margin-left: 12px; background: var(--wash);
  border-radius: 2px; vertical-align: middle; }
.bar i { display: block; height: 100%; border-radius: 2px; }
table.confusion td { min-width: 66px; text-align: center; padding: 7px 8px; line-height: 1.25;
  border: 2px solid #fff; }
table.confusion td small { display: block; font-size: 11px; opacity: .78; }
table.confusion thead th { text-align: center; border: 0; }
table.confusion tbody th { border: 0; padding-right: 14px; }
table.turns th, table.turns td { padding-top: 4px; padding-bottom: 4px; vertical-align: top; }
table.turns td { white-space: normal; text-align: left; }
table.turns th:first-child { color: var(--soft); font-weight: 400; }
table.turns thead th { text-align: left; }
table.plain th, table.plain td { padding-top: 3px; padding-bottom: 3px; }
table.plain thead th { text-align: left; }
table.plain td { text-align: left; white-space: normal; overflow-wrap: anywhere; font-size: 13px; }
code { font: 12.5px/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 18px 28px; }
.chip { display: inline-block; padding: 0 9px; border-radius: 10px; font-size: 12.5px; line-height: 20px;
  white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 10px; margin: 10px 0 16px; color: var(--soft); font-size: 13px; }
.legend .dot { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 50%; }
.warn { padding: 10px 16px; border-left: 4px solid #c8643c; background: #fdf3ee; max-width: none; }
footer { margin-top: 54px; padding-top: 14px; border-top: 1px solid var(--rule); color: var(--soft); font-size: 13px; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
svg text { font-size: 12.5px; fill: var(--ink); }
svg .tick, svg .note { font-size: 11.5px; fill: var(--soft); }
svg .layer { font-size: 12.5px; }
svg .strong { font-weight: 650; font-size: 13px; }
svg .axis { stroke: var(--ink); stroke-width: 1; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .pointer { fill: var(--ink); }
svg .reference { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 3 3; }
svg .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .chosen { fill: #fff; stroke-width: 2; }
svg .wrong { fill: none; stroke: var(--ink); stroke-width: 1.4; }
svg .unlabelled { fill: none; stroke: var(--rule); }
@media print {
  @page { margin: 16mm 14mm; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 26px; break-after: avoid; }
  h3, .lead { break-after: avoid; }
  tr, svg, .hero, .pair { break-inside: avoid; }
  .scroll { overflow: visible; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
