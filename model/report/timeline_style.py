"""The stylesheet of a timeline's page: one column on a phone, video beside transcript on a desk, all of it on paper."""

from __future__ import annotations

from bigfusion.model.report.theme import THEME

STYLE = (
    THEME
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1560px; margin: 0 auto; padding: 20px 28px 48px; }
h1 { margin: 0; font-size: 24px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 22px 0 2px; font-size: 16px; }
p { margin: 6px 0; max-width: 90ch; }
.facts, .lead, .keys, output { color: var(--soft); font-size: 13.5px; }
.facts { margin: 2px 0 14px; }
.lead { margin: 0 0 8px; }
button, input { font: inherit; color: inherit; }
button { border: 1px solid var(--rule); border-radius: 6px; background: var(--page); cursor: pointer; }
button:hover { border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
[hidden] { display: none !important; }
html:not(.alive) :is(#transport, #zoom, #finder, #now) { display: none; }

#frame { border-radius: 8px; overflow: hidden; background: #000; box-shadow: 0 0 0 4px var(--c, var(--rule)); }
#frame:is(.unsure, .silent, .nobody) { --c: var(--rule); }
.sound #frame { background: none; border-radius: 30px; }
#media { display: block; width: 100%; }
video#media { aspect-ratio: 16 / 9; max-height: 40vh; object-fit: contain; }
#trouble { margin: 10px 0 0; padding: 10px 14px; border-left: 4px solid var(--warn-rule); background: var(--warn);
  font-size: 14px; }
#transport { display: flex; gap: 8px; align-items: center; margin: 12px 0 8px; }
#transport button { display: grid; place-items: center; width: 46px; height: 34px; padding: 0; }
#transport path { fill: var(--ink); }
#play svg + svg, #play.going svg { display: none; }
#play.going svg + svg { display: block; }
#transport output { margin-left: 6px; font-variant-numeric: tabular-nums; }
#now { min-height: 150px; padding: 8px 14px 10px; border-left: 6px solid var(--c, var(--rule));
  background: var(--wash); border-radius: 6px; }
#now:is(.unsure, .silent) { border-left-style: dashed; }
.who { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; margin: 2px 0; }
.who > small { color: var(--soft); font-variant-numeric: tabular-nums; }
.said { margin: 2px 0 8px; font-size: 16px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 3px 10px; margin: 6px 0 2px; font-size: 13px;
  line-height: 15px; }
dt { text-align: right; color: var(--soft); }
dd { display: flex; gap: 6px; align-items: center; margin: 0; }
dd i { display: block; height: 11px; min-width: 1px; background: var(--c); border-radius: 2px; max-width: 82%; }
dd span { font-variant-numeric: tabular-nums; white-space: nowrap; }
.why, .true { color: var(--soft); font-size: 12.5px; }
.why::before { content: "∅ "; }
.true::before { content: "≠ "; }
.true.right::before { content: "= "; }
p.why, p.true { margin: 2px 0; }

.chip { display: inline-block; padding: 0 9px; border: 1.5px solid var(--c, var(--soft)); border-radius: 11px;
  background: var(--c, none); color: var(--on, inherit); font-size: 12.5px; line-height: 19px; white-space: nowrap; }
.chip small { font-size: 11.5px; opacity: .85; }
.chip.unsure { border-style: dashed; background: none; color: var(--ink); }
.chip.silent { border: 0; color: var(--soft); background: var(--wash); }
.legend { display: flex; flex-wrap: wrap; gap: 8px 20px; justify-content: space-between; margin: 18px 0 4px; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; }
#legend.narrowed .chip[aria-pressed=false] { opacity: .35; }
#legend .chip[aria-pressed=true]::before { content: "✓ "; }
#zoom { display: flex; gap: 6px; }
#zoom button { min-width: 34px; height: 26px; line-height: 1; font-size: 14px; }

#scroller { overflow-x: auto; overscroll-behavior-x: contain; border: 1px solid var(--rule); border-radius: 6px; }
.roll { position: relative; display: flex; min-width: 100%; width: var(--wide, 100%); cursor: pointer; }
.stretch { flex: 0 0 var(--share); min-width: 0; }
.ruler { position: relative; height: 20px; border-bottom: 1px solid var(--rule); color: var(--soft);
  font-size: 11px; line-height: 18px; font-variant-numeric: tabular-nums; overflow: hidden; }
.ruler span { position: absolute; padding-left: 4px; border-left: 1px solid var(--rule); height: 20px; }
.ruler.below { border: 0; }
.lane { border-bottom: 1px solid var(--rule); }
.lane:last-child { border-bottom: 0; }
.lane b { position: sticky; left: 0; z-index: 1; display: inline-block; max-width: 60%; padding: 1px 8px 0;
  font-size: 11.5px; font-weight: 600; line-height: 16px; color: var(--soft); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; vertical-align: top; }
.track { position: relative; height: 52px; }
.lane[style] .track::before { content: ""; position: absolute; inset: auto 0 calc(16px + (100% - 16px) * var(--t));
  border-top: 1px dashed var(--rule); }
.lane .track i { position: absolute; bottom: 0; height: 100%; font-style: normal; border-radius: 3px; }
.lane .track i::before { content: ""; position: absolute; inset: auto .5px 16px; height: calc((100% - 16px) * var(--n));
  min-height: 3px; background: var(--c); border-radius: 3px 3px 0 0; }
.track i span { position: absolute; inset: auto 0 0; height: 15px; padding-left: 2px; overflow: hidden;
  font-size: 10.5px; line-height: 15px; white-space: nowrap; color: var(--soft); }
.track i.unsure::before { border: 1.5px dashed var(--soft); border-bottom-style: solid; background: none; }
.track i.silent::before { height: 5px; border-radius: 0;
  background: repeating-linear-gradient(90deg, var(--soft) 0 2px, transparent 2px 5px); }
.track i:hover::before { box-shadow: 0 0 0 1.5px var(--soft); }
.track i.lit::before { box-shadow: 0 0 0 2px var(--ink); }
.track i.lit span { color: var(--ink); font-weight: 650; }
.track i.dim { opacity: .18; }
.gaps .track { height: 14px; margin-top: -2px; }
.gaps .track i { height: 8px; bottom: 4px; border-radius: 2px;
  background: repeating-linear-gradient(135deg, var(--warn-rule) 0 2px, transparent 2px 5px);
  outline: 1px solid var(--warn-rule); }
.gaps .track i::before { content: none; }
.gaps .track i.lit { outline: 2px solid var(--ink); }
.head { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: var(--ink); z-index: 2;
  pointer-events: none; }

.mood { margin-top: 6px; }
.area { position: relative; height: 96px; background: var(--wash); border-radius: 4px; overflow: hidden;
  cursor: pointer; }
.area svg { display: block; width: 100%; height: 100%; }
.area path { stroke: var(--page); stroke-width: 1; vector-effect: non-scaling-stroke; }
.name { position: absolute; transform: translate(-50%, -50%); color: var(--on); font-size: 12px; line-height: 1;
  white-space: nowrap; pointer-events: none; }

.find { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: center; padding: 10px 12px; background: var(--page);
  border-bottom: 1px solid var(--rule); }
.find input { flex: 1 1 160px; min-width: 0; max-width: 300px; padding: 3px 8px; border: 1px solid var(--rule);
  border-radius: 6px; background: var(--page); }
#lines { border: 1px solid var(--rule); border-radius: 8px; }
#transcript { margin: 0; padding: 4px 0; list-style: none; }
#transcript li { display: grid; grid-template-columns: 52px 1fr; gap: 8px; padding: 5px 12px 5px 6px;
  border-left: 5px solid transparent; cursor: pointer; overflow-wrap: anywhere; content-visibility: auto;
  contain-intrinsic-size: auto 35px; }
#transcript li:hover { background: var(--wash); }
#transcript li.lit { background: color-mix(in srgb, var(--accent) 13%, var(--page)); border-left-color: var(--accent); }
#transcript div > * { margin-right: 8px; }
#transcript .at { align-self: start; padding: 2px 0; border: 0; background: none; color: var(--soft); font-size: 13px;
  text-align: right; font-variant-numeric: tabular-nums; }
#transcript .text { margin-right: 0; }
#transcript :is(.why, .true) { display: block; }
#tip { position: fixed; z-index: 9; width: 300px; max-width: calc(100vw - 16px); padding: 6px 12px 8px;
  border: 1px solid var(--rule); border-radius: 8px; background: var(--page); box-shadow: 0 6px 24px #0005;
  pointer-events: none; }
#tip .said { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  font-size: 13.5px; }

table.errors { border-collapse: collapse; margin-top: 10px; font-variant-numeric: tabular-nums; font-size: 14px; }
.errors caption { text-align: left; color: var(--soft); font-size: 13.5px; padding-bottom: 4px; }
.errors th { text-align: left; padding: 2px 14px 2px 0; }
.errors td { text-align: right; padding: 2px 12px 2px 0; white-space: nowrap; }
.bar { display: block; width: min(300px, 40vw); height: 10px; background: var(--wash); border-radius: 2px; }
.bar i { display: block; height: 100%; background: var(--c); border-radius: 2px; }
@media (prefers-color-scheme: dark) { .track i::before, .bar i, dd i, #now { outline: 1px solid #fff3; }
  #now { outline: 0; } }

@media (min-width: 600px) {
  #now dl { grid-template-columns: auto minmax(0, 1fr) auto minmax(0, 1fr); }
}
@media (min-width: 900px) {
  main { display: grid; grid-template: auto auto auto auto / minmax(0, 1fr) minmax(0, 1fr); gap: 0 26px; }
  header, #strips, main > section:last-child { grid-column: 1 / -1; }
  #player { grid-area: 2 / 1; }
  #lines { grid-area: 2 / 2; height: 0; min-height: 100%; overflow-y: auto; overscroll-behavior: contain; }
  .sound #player { min-height: 420px; }
  .find { position: sticky; top: 0; z-index: 3; }
}
@media (max-width: 899px) {
  main { padding: 14px 14px 36px; }
  .picture #player { display: contents; }
  .picture #frame { position: sticky; top: 0; z-index: 5; }
  video#media { max-height: 34vh; }
  #lines { margin-top: 18px; }
  .keys { display: none; }
}
@media print {
  @page { margin: 14mm 12mm; }
  body { font-size: 9.5pt; }
  main { display: block; max-width: none; padding: 0; }
  #player, #zoom, #finder, .head, #tip { display: none !important; }
  #scroller { overflow: visible; border: 0; }
  .roll { display: block; width: 100% !important; }
  .stretch { width: var(--paper); margin-bottom: 8px; border: 1px solid var(--rule); break-inside: avoid; }
  .track { height: 42px; }
  #lines { height: auto; min-height: 0; overflow: visible; border: 0; }
  #transcript li, #transcript li.lit { padding: 2px 0; border: 0; content-visibility: visible; break-inside: avoid;
    background: none; }
  #transcript li[hidden] { display: grid !important; }
  .track i.dim { opacity: 1; }
  .track i.lit::before { box-shadow: none; }
  .track i.lit span { color: var(--soft); font-weight: inherit; }
  .mood, table, tr, p { break-inside: avoid; }
  h2, .lead, .legend, caption { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
)
