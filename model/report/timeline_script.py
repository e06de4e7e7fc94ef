"""The script of a timeline's page: it ties the video, the strips and the transcript together.

It reads only the page itself and makes no network request. Times are seconds of the recording; where it lies in
several files, the script turns them into a file and a time in it.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(() => {
  const one = (what, where = document) => where.querySelector(what);
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const data = JSON.parse(one("#data").textContent), moments = data.moments;
  const media = one("#media"), now = one("#now"), tip = one("#tip"), play = one("#play"), time = one("#time");
  const roll = one("#roll"), scroller = one("#scroller"), lines = one("#lines"), rows = all("#transcript > li");
  const blocks = moments.map(() => []);
  for (const block of all("#roll [data-i]")) blocks[block.dataset.i].push(block);
  for (const row of rows) row.removeAttribute("title");
  for (const block of all("#roll [title]")) block.removeAttribute("title");
  const clock = seconds => {
    const s = Math.floor(seconds + 1e-6), two = n => String(n).padStart(2, "0");
    return s < 3600 ? Math.floor(s / 60) + ":" + two(s % 60)
      : Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
  };
  const percent = p => p > 0 && p < .005 ? "< 1 %" : p < 1 && p >= .995 ? "> 99 %" : Math.round(100 * p) + " %";

  // The recording: one file, or clips one after the other. `at` is the time of the recording.
  const clips = data.clips.length ? data.clips : [[0, 0, data.seconds, 0]], whole = !data.clips.length;
  let at = 0, clip = 0, playable = true, between = false, wanted = null;
  const read = () => {
    if (!playable || between || wanted !== null) return at;
    const [, start, , offset] = clips[clip];
    return Math.min(Math.max(start + media.currentTime - offset, 0), data.seconds);
  };
  const load = number => {
    const changed = clips[number][0] !== clips[clip][0];
    clip = number;
    if (changed) media.src = data.files[clips[clip][0]];
    return changed;
  };
  const seek = seconds => {
    at = Math.min(Math.max(seconds, 0), data.seconds);
    let number = clips.findIndex(([, start, length]) => at < start + length);
    if (number < 0) number = clips.length - 1;
    between = at < clips[number][1] - 1e-3;
    const going = !media.paused;
    const changed = load(number), [, start, , offset] = clips[number];
    const inside = offset + Math.max(at - start, 0);
    if (changed || media.readyState < 1) wanted = inside; else media.currentTime = inside;
    if (changed && going) start_playing();
    show();
  };
  const start_playing = () => media.play().catch(() => {});
  const toggle = () => {
    if (!playable) return;
    between = false;
    if (media.paused) { if (at >= data.seconds - .05) seek(0); start_playing(); } else media.pause();
  };
  const follow_on = () => {
    if (clip + 1 >= clips.length) { media.pause(); return; }
    const changed = load(clip + 1);
    if (changed) { wanted = clips[clip][3]; at = clips[clip][1]; } else media.currentTime = clips[clip][3];
    start_playing();
  };
  media.addEventListener("loadedmetadata", () => {
    if (wanted !== null) media.currentTime = wanted;
    wanted = null;
  });
  media.addEventListener("error", () => {
    playable = false;
    const name = data.names[clips[clip][0]], said = one("#trouble");
    said.textContent = `${name} cannot be played here: either it no longer lies where this page looks for it, or the `
      + "browser does not know its format. A copy as MP4 (H.264 and AAC) plays in every browser. "
      + "The strips and the transcript work without it.";
    said.hidden = false;
  });
  media.addEventListener("ended", () => { if (!whole) follow_on(); });
  for (const name of ["play", "pause", "ended"]) media.addEventListener(name, () => {
    play.classList.toggle("going", !media.paused);
    if (!media.paused) { between = false; requestAnimationFrame(step); }
  });
  for (const name of ["timeupdate", "seeked"]) media.addEventListener(name, () => show());
  const step = () => {
    const [, , length, offset] = clips[clip];
    if (!whole && wanted === null && media.currentTime >= offset + length) follow_on();
    show();
    if (!media.paused && !media.ended) requestAnimationFrame(step);
  };

  // Which moments are heard at a time. `reach[i]`: how far the moments up to i last.
  const reach = [];
  moments.forEach(([, end], i) => reach.push(Math.max(end, i ? reach[i - 1] : 0)));
  const last_started = seconds => {
    let low = 0, high = moments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (moments[middle][0] <= seconds) low = middle + 1; else high = middle;
    }
    return low - 1;
  };
  const heard = seconds => {
    const found = [];
    for (let i = last_started(seconds); i >= 0 && reach[i] > seconds; i--) if (moments[i][1] > seconds) found.push(i);
    return found;
  };

  // Light the current moments, and follow them.
  let lit = [], told = null, left_alone = 0;
  const mark = (i, on) => {
    rows[i].classList.toggle("lit", on);
    for (const block of blocks[i]) block.classList.toggle("lit", on);
  };
  const show = () => {
    at = read();
    const current = heard(at + 1e-3);
    if (current.join() !== lit.join()) {
      for (const i of lit) mark(i, false);
      for (const i of current) mark(i, true);
      lit = current;
      tell(lit.length ? lit[0] : null);
      if (lit.length) keep_in_view(lit[0]);
    }
    time.textContent = clock(at) + " / " + clock(data.seconds);
    const share = 100 * at / data.seconds + "%";
    one("#lane-head").style.left = share;
    one("#mood-head").style.left = share;
    const x = at / data.seconds * roll.offsetWidth, view = scroller.clientWidth;
    if (performance.now() > left_alone && roll.offsetWidth > view
        && (x < scroller.scrollLeft || x > scroller.scrollLeft + .9 * view)) scroller.scrollLeft = x - .1 * view;
  };
  const keep_in_view = i => {
    if (performance.now() < left_alone || getComputedStyle(lines).overflowY !== "auto") return;
    const row = rows[i], top = row.offsetTop - lines.offsetTop;
    if (top < lines.scrollTop + 60 || top + row.offsetHeight > lines.scrollTop + lines.clientHeight - 40)
      lines.scrollTop = top - lines.clientHeight / 3;
  };
  for (const place of [lines, scroller]) for (const name of ["wheel", "touchmove", "pointerdown"])
    place.addEventListener(name, () => { left_alone = performance.now() + 4000; }, {passive: true});

  // A moment's probabilities: in the card of the current one, and beside the one that is pointed at.
  const build = (name, text, kind) => {
    const element = document.createElement(name);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const card = i => {
    const [start, end, , probabilities] = moments[i], row = rows[i], parts = [];
    const head = build("p", undefined, "who");
    head.append(build("b", one("b", row).textContent), " ", one(".chip", row).cloneNode(true), " ",
      build("small", clock(start) + " – " + clock(end)));
    parts.push(head, build("p", one(".text", row).textContent, "said"));
    const list = build("dl");
    const order = probabilities.map((p, k) => [p, k]);
    for (const [p, k] of order) {
      const bar = build("dd", undefined, "l" + k), fill = build("i");
      fill.style.width = 100 * p + "%";
      bar.append(fill, build("span", percent(p)));
      list.append(build("dt", data.labels[k]), bar);
    }
    if (order.length) parts.push(list);
    for (const more of all(".true, .why", row)) parts.push(build("p", more.textContent, more.className));
    return parts;
  };
  const tell = i => {
    if (i === told && now.childNodes.length) return;
    told = i;
    now.className = i === null ? "nobody" : one(".chip", rows[i]).className.replace("chip", "").trim();
    one("#frame").className = now.className;
    now.replaceChildren(...(i === null ? [build("p", "Nobody speaks here.", "said")] : card(i)));
  };
  const place = target => {
    tip.replaceChildren(...card(Number(target.dataset.i)));
    tip.hidden = false;
    const box = target.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    const x = Math.min(Math.max(box.left, 8), wide - tip.offsetWidth - 8);
    const below = box.bottom + 6, above = box.top - tip.offsetHeight - 6;
    tip.style.left = x + "px";
    tip.style.top = (below + tip.offsetHeight > innerHeight && above > 0 ? above : below) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const target_of = event => event.target.closest?.("#roll [data-i], #transcript [data-i]");
  document.addEventListener("pointerover", event => {
    const target = event.pointerType === "touch" ? null : target_of(event);
    if (target) place(target); else hide();
  });
  document.addEventListener("focusin", event => {
    const target = event.target.matches(":focus-visible") ? target_of(event) : null;
    if (target) place(target); else hide();
  });
  document.addEventListener("scroll", hide, true);

  // Click to seek.
  const jump = i => { left_alone = 0; seek(moments[i][0]); };
  document.addEventListener("click", event => {
    if (event.target.closest("button") && event.detail) event.target.closest("button").blur();
    const target = target_of(event);
    const selecting = target?.closest("#transcript") && String(getSelection());
    if (target) { if (!selecting) jump(Number(target.dataset.i)); return; }
    for (const area of [roll, one("#mood")]) if (area.contains(event.target)) {
      const box = area.getBoundingClientRect();
      left_alone = 0;
      seek((event.clientX - box.left) / box.width * data.seconds);
    }
  });
  const shown = i => !rows[i].hidden;
  const neighbour = way => {
    let i = last_started(at + 1e-3);
    if (way < 0 && i >= 0 && at > moments[i][0] + 1 && shown(i)) { jump(i); return; }
    for (i += way; i >= 0 && i < moments.length; i += way) if (shown(i)) { jump(i); return; }
  };
  one("#back").addEventListener("click", () => neighbour(-1));
  one("#on").addEventListener("click", () => neighbour(1));
  play.addEventListener("click", toggle);
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    if (event.key === " " && event.target.matches("button") && !event.target.matches("#transcript button")) return;
    const act = {" ": toggle, ArrowLeft: () => seek(read() - (event.shiftKey ? 1 : 5)),
      ArrowRight: () => seek(read() + (event.shiftKey ? 1 : 5)), j: () => neighbour(1), k: () => neighbour(-1),
      Home: () => seek(0), Escape: hide}[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true);
  // Tab stops once in the transcript; up and down go on from there.
  lines.addEventListener("keydown", event => {
    const way = {ArrowDown: 1, ArrowUp: -1}[event.key], from = event.target.closest("li");
    if (!way || !from) return;
    event.preventDefault();
    let i = Number(from.dataset.i) + way;
    while (i >= 0 && i < rows.length && !shown(i)) i += way;
    if (!rows[i]) return;
    one("button", from).tabIndex = -1;
    one("button", rows[i]).tabIndex = 0;
    one("button", rows[i]).focus();
  });

  // Narrow down: by label, by words.
  const chosen = new Set(), find = one("#find"), texts = rows.map(row => row.textContent.toLowerCase());
  const narrow = () => {
    const text = find.value.trim().toLowerCase();
    let number = 0;
    rows.forEach((row, i) => {
      const hit = (!chosen.size || chosen.has(moments[i][2])) && (!text || texts[i].includes(text));
      row.hidden = !hit;
      for (const block of blocks[i]) block.classList.toggle("dim", !hit);
      number += hit;
    });
    const first = rows.find(row => !row.hidden);
    for (const row of rows) one("button", row).tabIndex = row === first ? 0 : -1;
    one("#count").textContent = chosen.size || text ? `${number} of ${rows.length}` : "";
  };
  find.addEventListener("input", narrow);
  for (const chip of all("#legend [data-label]")) {
    chip.title = "show only these";
    chip.setAttribute("aria-pressed", "false");
    chip.addEventListener("click", () => {
      const label = chip.dataset.label, on = !chosen.has(label);
      if (on) chosen.add(label); else chosen.delete(label);
      chip.setAttribute("aria-pressed", String(on));
      one("#legend").classList.toggle("narrowed", chosen.size > 0);
      narrow();
    });
  }

  // Zoom. The width of the strips is a number of pixels a second.
  const zoom = factor => {
    const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / roll.offsetWidth;
    const width = factor ? Math.min(roll.offsetWidth * factor, 60 * data.seconds) : 0;
    roll.style.width = Math.max(width, scroller.clientWidth) + "px";
    scroller.scrollLeft = middle * roll.offsetWidth - scroller.clientWidth / 2;
  };
  one("#in").addEventListener("click", () => zoom(1.6));
  one("#out").addEventListener("click", () => zoom(1 / 1.6));
  one("#fit").addEventListener("click", () => zoom(0));

  document.documentElement.classList.add("alive");
  seek(0);
})();
"""
