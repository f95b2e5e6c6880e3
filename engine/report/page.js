"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const [height, width] = data.size;
  const frames = data.frames;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  let shown = 0; // index into `frames`
  let frame = 0; // the frame asked for, which may lie between two pictures
  let wipe = 0.5;
  let timer = null;

  document.documentElement.style.setProperty("--aspect", data.aspect);
  if (data.aspect < 0.9) document.documentElement.style.setProperty("--lane", "180px");

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  // ---------------------------------------------------------------- pictures

  const decoded = new Map();
  function picture(lane, idx) {
    const text = data.lanes[lane] && data.lanes[lane].pictures[idx];
    if (!text) return Promise.resolve(null);
    const key = lane + idx;
    if (!decoded.has(key)) {
      const image = new Image();
      image.src = "data:image/" + (text.startsWith("iVBOR") ? "png" : "jpeg") + ";base64," + text;
      decoded.set(key, image.decode().then(() => image, () => null));
      if (decoded.size > 600) decoded.delete(decoded.keys().next().value);
    }
    return decoded.get(key);
  }

  function canvas(label) {
    const node = make("canvas", { width, height, role: "img", "aria-label": label });
    return node;
  }

  const lanes = [];
  function addLane(name, title, file, draw) {
    const node = canvas(title);
    const caption = make("figcaption", {}, make("b", {}, title), make("code", {}, file));
    at("lanes").append(make("figure", { id: "lane-" + name }, make("div", { class: "view" }, node), caption));
    lanes.push({ pen: node.getContext("2d"), draw });
  }

  const plain = () => (isDark.matches ? "#26262b" : "#e9e7e0");
  async function drawOver(pen, lane, idx) { // the source, and a lane's part of the frame over it
    const [below, above] = await Promise.all([picture("source", idx), picture(lane, idx)]);
    return () => {
      pen.clearRect(0, 0, width, height);
      if (below) pen.drawImage(below, 0, 0, width, height);
      if (above) pen.drawImage(above, ...data.lanes[lane].boxes[idx]);
    };
  }
  async function drawMasked(pen, lane, idx) { // the source where a mask is
    const [below, mask] = await Promise.all([picture("source", idx), picture(lane, idx)]);
    return () => {
      pen.clearRect(0, 0, width, height);
      if (below && mask) {
        pen.drawImage(below, 0, 0, width, height);
        pen.globalCompositeOperation = "destination-in";
        pen.drawImage(mask, ...data.lanes[lane].boxes[idx]);
      }
      pen.globalCompositeOperation = "destination-over";
      pen.fillStyle = plain();
      pen.fillRect(0, 0, width, height);
      pen.globalCompositeOperation = "source-over";
    };
  }
  async function drawMotion(pen, idx) {
    const below = await picture("source", idx);
    return () => {
      pen.fillStyle = plain();
      pen.fillRect(0, 0, width, height);
      if (below) {
        pen.globalAlpha = 0.55;
        pen.drawImage(below, 0, 0, width, height);
        pen.globalAlpha = 1;
      }
      const joints = data.joints[idx], planted = data.planted ? data.planted[idx] : [0, 0];
      const colors = { left: "#4aa8ff", right: "#ff8a3c", "": below || isDark.matches ? "#f4f2ea" : "#55545c" };
      pen.lineCap = "round";
      for (const pass of [0, 1]) {
        for (const [from, to] of data.bones) {
          const [x0, y0, x1, y1] = [joints[2 * from], joints[2 * from + 1], joints[2 * to], joints[2 * to + 1]];
          if (x0 === null || x1 === null) continue;
          const side = data.sides[to];
          const isFoot = to >= 10 && to <= 11 && planted[side === "left" ? 0 : 1];
          pen.strokeStyle = pass ? (isFoot ? "#5fe07a" : colors[side]) : "#0009";
          pen.lineWidth = (pass ? 1 : 1.9) * Math.max(2.2, height / 90) * (isFoot ? 1.5 : 1);
          pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke();
        }
      }
    };
  }

  const has = (name) => Boolean(data.lanes[name]);
  const lane = (name, draw) => has(name) && addLane(name, data.lanes[name].title, data.lanes[name].file, draw);
  lane("source", (pen, idx) => drawOver(pen, "source", idx));
  lane("human", (pen, idx) => drawMasked(pen, "human", idx));
  lane("scene", (pen, idx) => drawOver(pen, "scene", idx));
  lane("front", (pen, idx) => drawMasked(pen, "front", idx));
  if (data.joints) addLane("motion", ...data.motion, drawMotion);
  for (const [title, file, png] of data.stills) {
    const image = make("img", { src: "data:image/png;base64," + png, alt: title });
    const caption = make("figcaption", {}, make("b", {}, title), make("code", {}, file));
    at("lanes").append(make("figure", {}, make("div", { class: "view" }, image), caption));
  }
  lane("result", (pen, idx) => drawOver(pen, "result", idx));

  // ---------------------------------------------------------------- before and after

  const wipePen = at("wipe-canvas").getContext("2d");
  if (has("source") && has("result")) {
    at("wipe-section").hidden = false;
    at("wipe-canvas").width = width;
    at("wipe-canvas").height = height;
    const result = canvas("result"), resultPen = result.getContext("2d");
    lanes.push({
      pen: resultPen,
      draw: async (pen, idx) => {
        const [below, whole] = await Promise.all([picture("source", idx), drawOver(pen, "result", idx)]);
        return () => { whole(); drawWipe.below = below; drawWipe(); };
      },
    });
    function drawWipe() {
      const x = Math.round(wipe * width);
      if (drawWipe.below) wipePen.drawImage(drawWipe.below, 0, 0, width, height);
      if (x < width) wipePen.drawImage(result, x, 0, width - x, height, x, 0, width - x, height);
    }
    function moveWipe(share) {
      wipe = Math.min(1, Math.max(0, share));
      at("wipe-line").style.left = 100 * wipe + "%";
      at("wipe-line").setAttribute("aria-valuenow", Math.round(100 * wipe));
      drawWipe();
    }
    const box = at("wipe");
    const drag = (event) => {
      const edge = box.getBoundingClientRect();
      moveWipe((event.clientX - edge.left) / edge.width);
    };
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      drag(event);
      at("wipe-line").focus({ preventScroll: true });
      event.preventDefault();
    });
    box.addEventListener("pointermove", (event) => event.buttons && drag(event));
    at("wipe-line").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (!step) return;
      moveWipe(wipe + step);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // ---------------------------------------------------------------- warnings

  for (const warning of data.warnings) {
    const where = warning.frame === null
      ? make("span", { class: "frame-link" }, "project")
      : make("button", { class: "frame-link", type: "button", "data-frame": warning.frame }, "frame " + warning.frame);
    const item = make("li", {}, where, make("span", {}, warning.text));
    const fix = make("span", { class: "fix" });
    if (warning.file) fix.append("edit ", make("code", {}, warning.file));
    if (warning.command) fix.append(warning.file ? ", or type " : "type ", make("code", {}, warning.command));
    if (fix.childNodes.length) item.append(fix);
    at("warning-list").append(item);
  }
  at("warnings").hidden = !data.warnings.length;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-frame]");
    if (link) { stop(); go(Number(link.dataset.frame)); }
  });

  // ---------------------------------------------------------------- plots

  const plots = [];
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const last = Math.max(1, data.numFrames - 1);
  for (const plot of data.plots) {
    const known = [...plot.values, ...(plot.beside || [])].filter((value) => value !== null);
    const highest = known.reduce((most, value) => Math.max(most, value), 0);
    const top = plot.top ?? Math.max(highest, 10 ** -plot.digits) * 1.06;
    const y = (value) => 90 - 88 * value / top;
    const line = (values) => {
      let path = "", pen = "M";
      values.forEach((value, idx) => {
        if (value === null) return;
        path += pen + (1000 * idx / last).toFixed(1) + " " + y(value).toFixed(1);
        pen = "L";
      });
      return path;
    };
    const node = svg("svg", {
      viewBox: "0 0 1000 92", preserveAspectRatio: "none", tabindex: 0, role: "slider", "aria-label": plot.title,
      "aria-valuemin": 0, "aria-valuemax": data.numFrames - 1,
    });
    const path = line(plot.values);
    node.append(svg("line", { class: "floor", x1: 0, x2: 1000, y1: 90, y2: 90 }));
    if (path) {
      const first = plot.values.findIndex((value) => value !== null);
      const end = plot.values.length - 1 - [...plot.values].reverse().findIndex((value) => value !== null);
      node.append(svg("path", { class: "area", d: `${path}L${1000 * end / last} 90L${1000 * first / last} 90Z` }));
    }
    if (plot.beside) node.append(svg("path", { class: "beside", d: line(plot.beside) }));
    node.append(svg("path", { class: "main", d: path }));
    const cursor = svg("line", { class: "cursor", x1: 0, x2: 0, y1: 0, y2: 92 });
    node.append(cursor);
    const value = make("span", { class: "value" });
    const about = make("p", {}, plot.about);
    if (plot.beside) about.append(" ", make("span", { class: "key" }, "Dashed: " + plot.besideName + "."));
    at("plots").append(make("div", { class: "plot" },
      make("div", { class: "head" }, make("h3", {}, plot.title), value), about, node,
      make("div", { class: "ends" }, make("span", {}, "frame 0"),
        make("span", {}, "highest " + highest.toFixed(plot.digits) + plot.unit), make("span", {}, "frame " + (data.numFrames - 1)))));
    const pick = (event) => {
      const edge = node.getBoundingClientRect();
      stop();
      go(Math.round((event.clientX - edge.left) / edge.width * last));
    };
    node.addEventListener("pointerdown", (event) => { node.setPointerCapture(event.pointerId); pick(event); });
    node.addEventListener("pointermove", (event) => event.buttons && pick(event));
    plots.push({ plot, node, cursor, value });
  }
  at("plots-section").hidden = !plots.length;
  const every = frames.length > 1 ? frames[1] - frames[0] : 1;
  at("plots-hint").textContent = "Click a plot to see that frame." +
    (every > 1 ? ` Plots hold every frame; every ${every}${every === 2 ? "nd" : every === 3 ? "rd" : "th"} has pictures.` : "");

  // ---------------------------------------------------------------- tables

  for (const fact of data.facts) at("facts").append(make("li", {}, fact));
  for (const [name, href] of Object.entries(data.links)) at("facts").append(make("li", {}, make("a", { href }, name)));
  const words = { fresh: "up to date", run: "will run", yours: "yours", blocked: "cannot run" };
  for (const stage of data.stages) {
    const said = make("td");
    for (const note of stage.notes) said.append(make("span", { class: "note" }, note));
    at("stages").tBodies[0].append(make("tr", {}, make("td", {}, make("code", {}, stage.stage)), make("td", {}, stage.about),
      make("td", { class: "state-" + stage.state }, words[stage.state] || stage.state), make("td", { class: "number" }, stage.took), said));
  }
  for (const row of data.licences)
    at("licences").tBodies[0].append(make("tr", {}, make("td", {}, row.part), make("td", {}, row.licence), make("td", {}, row.for)));

  // ---------------------------------------------------------------- one scrubber for all

  const range = at("range");
  range.max = data.numFrames - 1;

  function nearest(wanted) {
    let low = 0, high = frames.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (frames[middle] <= wanted) low = middle; else high = middle - 1;
    }
    return low + 1 < frames.length && frames[low + 1] - wanted < wanted - frames[low] ? low + 1 : low;
  }

  let drawing = 0;
  async function draw() {
    const turn = ++drawing, idx = shown;
    const ready = await Promise.all(lanes.map((one) => one.draw(one.pen, idx)));
    if (turn !== drawing) return; // a later frame was asked for meanwhile
    ready.forEach((show) => show());
    document.body.dataset.shown = frames[idx];
    for (const name of Object.keys(data.lanes)) picture(name, (idx + 1) % frames.length);
  }

  function go(wanted) {
    frame = Math.min(data.numFrames - 1, Math.max(0, wanted));
    shown = nearest(frame);
    range.value = frame;
    const time = data.time[shown];
    at("now").replaceChildren("frame " + frame, make("span", { class: "long" }, " · " + time.toFixed(2) + " s" + (frames[shown] === frame ? "" : " · pictured " + frames[shown])));
    for (const { plot, node, cursor, value } of plots) {
      const x = 1000 * frame / last, here = plot.values[frame];
      cursor.setAttribute("x1", x); cursor.setAttribute("x2", x);
      value.textContent = here === null || here === undefined ? "–" : here.toFixed(plot.digits) + plot.unit;
      node.setAttribute("aria-valuenow", frame);
      node.setAttribute("aria-valuetext", `frame ${frame}: ${value.textContent}`);
    }
    draw();
  }

  const step = (by) => go(frames[Math.min(frames.length - 1, Math.max(0, shown + by))]);
  function stop() {
    clearInterval(timer);
    timer = null;
    at("play").textContent = "▶";
    at("play").setAttribute("aria-label", "Play");
  }
  function play() {
    if (timer) { stop(); return; }
    at("play").textContent = "❚❚";
    at("play").setAttribute("aria-label", "Pause");
    if (shown === frames.length - 1) go(0);
    timer = setInterval(() => (shown + 1 < frames.length ? step(1) : go(0)), 1000 * every / data.fps);
  }
  at("play").addEventListener("click", play);
  at("back").addEventListener("click", () => { stop(); step(-1); });
  at("next").addEventListener("click", () => { stop(); step(1); });
  range.addEventListener("input", () => { stop(); go(Number(range.value)); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button, a");
    const jump = event.shiftKey ? 10 : 1;
    const act = {
      ArrowLeft: () => { stop(); step(-jump); }, ArrowRight: () => { stop(); step(jump); },
      Home: () => { stop(); go(0); }, End: () => { stop(); go(data.numFrames - 1); }, " ": onButton ? null : play,
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
  });
  isDark.addEventListener("change", draw);
  go(0);
})();
