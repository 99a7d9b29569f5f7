"use strict";
// Everything on the page comes from the same server; names of things are ids that tell nothing.

const LEVELS = ["anybody, most alike first", "a little alike or more", "alike or more", "very alike only"];
const state = { sights: [], others: [], listed: 0, asking: 0, lengths: {} };
const $ = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function clock(seconds) {
  const whole = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return (hours ? `${hours}:` : "") + `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

async function call(path, options) {
  let answer;
  try { answer = await fetch(path, options); }
  catch { throw new Error("The page's program does not answer: is it still running?"); }
  if (answer.status === 401 && path !== "/api/enter") { $("door").hidden = false; $("main").hidden = true; }
  if (!answer.ok) {
    let line = `It did not work (${answer.status}).`;
    try { line = (await answer.json()).error; } catch { /* no sentence came */ }
    throw new Error(line);
  }
  return answer;
}
const get = async (path) => (await call(path)).json();
const send = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function trying(words, work) {
  $("problem").hidden = true;
  $("status").textContent = words;
  try { await work(); $("status").textContent = state.said || ""; state.said = ""; }
  catch (error) {
    $("status").textContent = "";
    $("problem").textContent = error.message;
    $("problem").hidden = false;
    $("problem").scrollIntoView({ block: "nearest" });
  }
}

// A picture; where its file is gone, the sentence that says so.
function image(path, alt) {
  const shown = make("img", { src: path, alt, loading: "lazy" });
  shown.addEventListener("error", async () => {
    let line = "This picture cannot be shown.";
    try { await call(path); } catch (error) { line = error.message; }
    shown.replaceWith(make("span", { class: "lost" }, line));
  });
  return shown;
}
const crop = (id, alt) => image(`/api/people/${id}/picture`, alt);

// ------------------------------------------------------------------ scenes and people in them

async function sources() {
  const told = await get("/api/sources");
  $("main").hidden = false;
  $("door").hidden = true;
  $("counts").textContent = `${told.people} sights of people in ${told.scenes} pictures`;
  $("empty").hidden = told.scenes > 0;
  for (const one of told.sources) {
    state.lengths[one.id] = one.length;
    const count = `${one.name} (${one.scenes === 1 ? "1 picture" : `${one.scenes} pictures`}, ${one.people} people)`;
    $("source").append(make("option", { value: one.id }, count));
    $("within").append(make("option", { value: one.id }, one.name));
  }
  await more();
}

async function more() {
  const told = await get(`/api/scenes?source=${$("source").value}&start=${state.listed}`);
  for (const scene of told.scenes) {
    const people = scene.count === 1 ? "1 person" : `${scene.count} people`;
    const when = scene.time === null ? "" : `at ${clock(scene.time)}, `;
    $("scenes").append(make("li", {}, make("button", { type: "button", onclick: () => open(scene.id) },
      image(`/api/scenes/${scene.id}/picture`, ""), make("span", {}, scene.name, make("small", {}, when + people)))));
  }
  state.listed += told.scenes.length;
  $("more").hidden = state.listed >= told.total;
}

function stage(picture, told, marked, pick) {
  $("stage").replaceChildren(image(picture, "The whole picture"));
  const ordered = [...told.people].sort((a, b) => a.box[0] - b.box[0]);
  ordered.forEach((person, number) => {
    const [x1, y1, x2, y2] = person.box;
    const box = make("button", { type: "button", class: person.id === marked ? "her" : "",
      "aria-label": `Person ${number + 1} of ${ordered.length} from the left: look for this person`,
      title: "Look for this person", onclick: () => { $("scene").close(); pick(person); } });
    box.style.left = `${100 * x1 / told.width}%`;
    box.style.top = `${100 * y1 / told.height}%`;
    box.style.width = `${100 * (x2 - x1) / told.width}%`;
    box.style.height = `${100 * (y2 - y1) / told.height}%`;
    $("stage").append(box);
  });
  if (!$("scene").open) $("scene").showModal();
}

function open(id, marked) {
  return trying("Opening…", async () => {
    const told = await get(`/api/scenes/${id}`);
    $("scene-title").textContent = told.name + (told.time === null ? "" : ` at ${clock(told.time)}`);
    $("scene-words").textContent = told.people.length ? "Click on a person to look for her or him."
      : "Nobody was found in this picture.";
    stage(`/api/scenes/${id}/picture`, told, marked, (person) => start({ id: person.id }));
  });
}

// ------------------------------------------------------------------ a picture of one's own

function bring(file) {
  if (!file) return;
  return trying("Looking for people in your picture…", async () => {
    const told = await (await call("/api/pictures", { method: "POST", body: file })).json();
    const picture = `/api/pictures/${told.id}/picture`;
    $("scene-title").textContent = "Your picture";
    $("scene-words").textContent = told.people.length ? "Which of them do you look for?"
      : "Nobody was found in your picture: take one that shows a whole person.";
    stage(picture, told, undefined, (person) => start({ ...person, picture, width: told.width, height: told.height }));
  });
}

function cut(sight) {
  if (!sight.picture) return crop(sight.id, "");
  const canvas = make("canvas", { width: 132, height: 264 }), whole = new Image();
  whole.addEventListener("load", () => {
    const scale = whole.naturalWidth / sight.width, [x1, y1, x2, y2] = sight.box.map((v) => v * scale);
    const fit = Math.max(132 / (x2 - x1), 264 / (y2 - y1)), w = 132 / fit, h = 264 / fit;
    canvas.getContext("2d").drawImage(whole, (x1 + x2 - w) / 2, (y1 + y2 - h) / 2, w, h, 0, 0, 132, 264);
  });
  whole.src = sight.picture;
  return canvas;
}

// ------------------------------------------------------------------ asking

function start(sight) { state.sights = [sight]; state.others = []; return ask(); }

function mark(list, sight) {
  const kept = (one) => one.id !== sight.id;
  state.sights = state.sights.filter(kept);
  state.others = state.others.filter(kept);
  state[list].push(sight);
  return ask();
}

function drop(list, id) {
  state[list] = state[list].filter((one) => one.id !== id);
  if (state.sights.length) return ask();
  clear();
}

function clear() {
  state.sights = []; state.others = [];
  $("asked").hidden = $("found").hidden = true;
}

const question = () => ({ sights: state.sights.map((one) => one.id), others: state.others.map((one) => one.id),
  sure: Number($("sure").value), source: $("within").value || null });

function tray(list, words) {
  $(list).replaceChildren(...state[list].map((one) => make("li", {}, cut(one), make("button",
    { type: "button", "aria-label": `Take this away: ${words}`, onclick: () => drop(list, one.id) }, "×"))));
}

function ask() {
  const turn = ++state.asking;
  $("asked").hidden = false;
  tray("sights", "a picture of this person");
  tray("others", "somebody else");
  $("sure-words").textContent = LEVELS[$("sure").value];
  $("sure").setAttribute("aria-valuetext", LEVELS[$("sure").value]);
  return trying("Looking…", async () => {
    const { answers } = await (await send("/api/ask", question())).json();
    if (turn !== state.asking) return;
    const count = answers.length === 1 ? "1 answer" : `${answers.length} answers`;
    $("found-title").textContent = answers.length ? count : "Nobody here looks so alike";
    state.said = answers.length ? count : "Nobody here looks so alike. Move the slider to see who is less alike.";
    $("answers").replaceChildren(...answers.map(answer));
    timelines(answers);
    const first = $("found").hidden;
    $("found").hidden = false;
    if (first) { $("asked").scrollIntoView(); $("found-title").focus({ preventScroll: true }); }
  });
}

function when(one) {
  if (one.first === null) return "";
  return one.first === one.last ? `at ${clock(one.first)}` : `${clock(one.first)} to ${clock(one.last)}`;
}

function answer(one, number) {
  const [head, rest] = one.words.split(": ");
  return make("li", {},
    make("button", { type: "button", class: "open", "aria-label": `Answer ${number + 1}: open the whole picture`,
      onclick: () => open(one.scene, one.person) }, crop(one.person, `Answer ${number + 1}, ${head}`)),
    make("div", { class: "text" }, make("b", {}, `${number + 1}. ${head}`), make("span", {}, when(one) || one.name),
      make("br"), make("small", {}, rest)),
    make("div", { class: "pair" },
      make("button", { type: "button", onclick: () => mark("sights", { id: one.person }) }, "It is"),
      make("button", { type: "button", onclick: () => mark("others", { id: one.person }) }, "It is not")));
}

function timelines(answers) {
  const films = new Map();
  answers.forEach((one, number) => {
    if (one.first !== null) films.set(one.source, [...(films.get(one.source) || []), { ...one, number }]);
  });
  $("timelines").replaceChildren(...[...films].map(([source, seen]) => {
    const end = Math.max(state.lengths[source] || 0, ...seen.map((one) => one.last), 1);
    const track = make("div", { class: "track" }, ...[...seen].sort((a, b) => a.first - b.first).map((one) => {
      const bar = make("button", { type: "button", class: `s${one.sure}`, title: when(one),
        "aria-label": `Answer ${one.number + 1}, ${when(one)}: open`, onclick: () => open(one.scene, one.person) },
        String(one.number + 1));
      bar.style.left = `${100 * one.first / end}%`;
      bar.style.width = `${100 * (one.last - one.first) / end}%`;
      return bar;
    }));
    return make("div", { class: "timeline" }, make("div", {}, seen[0].name), track,
      make("div", { class: "ends" }, make("span", {}, clock(0)), make("span", {}, clock(end))));
  }));
}

function save(form) {
  return trying("Writing…", async () => {
    const answer = await send(`/api/export/${form}`, question());
    const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: `answers.${form}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

// ------------------------------------------------------------------ what is on the page

$("close").addEventListener("click", () => $("scene").close());
$("more").addEventListener("click", () => trying("Loading…", more));
$("source").addEventListener("change", () => { state.listed = 0; $("scenes").replaceChildren(); trying("Loading…", more); });
$("sure").addEventListener("input", ask);
$("within").addEventListener("change", ask);
$("clear").addEventListener("click", clear);
$("csv").addEventListener("click", () => save("csv"));
$("json").addEventListener("click", () => save("json"));
$("file").addEventListener("change", () => { bring($("file").files[0]); $("file").value = ""; });
$("enter").addEventListener("click", () => trying("Opening…", async () => {
  await send("/api/enter", { token: $("token").value });
  await sources();
}));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") bring(event.dataTransfer.files[0]);
  });
}
// #person=ID asks at once: for links, and for pictures of the page
const asked = new URLSearchParams(location.hash.slice(1)).get("person");
trying("Loading…", async () => { await sources(); }).then(() => { if (asked) start({ id: asked }); });
