// Everything on the page comes from the same server; names of things are ids that tell nothing.

import { $, clock, counted, crop, get, image, make, seconds, send, trying } from "./parts.js";
import { bring, openScene } from "./picture.js";

const LEVELS = ["anybody, most alike first", "a little alike or more", "alike or more", "very alike only"];
const BADGES = ["hardly alike", "a little alike", "alike", "very alike"];
const state = { sights: [], others: [], listed: 0, sources: new Map(), going: null, people: 0 };

// ------------------------------------------------------------------ what was indexed

async function sources() {
  const told = await get("/api/sources");
  $("main").hidden = false;
  $("door").hidden = true;
  state.people = told.people;
  $("counts").textContent = `${counted(told.people, "sight of a person", "sights of people")} in `
    + counted(told.scenes, "picture", "pictures");
  $("empty").hidden = told.scenes > 0;
  state.sources = new Map(told.sources.map((one) => [one.id, one]));
  for (const list of ["source", "within"]) $(list).replaceChildren(make("option", { value: "" }, "everything"));
  for (const one of told.sources) {
    const name = one.film ? `film ${one.name}` : `folder ${one.name}`;
    $("source").append(make("option", { value: one.id }, `${name} (${counted(one.people, "person", "people")})`));
    $("within").append(make("option", { value: one.id }, name));
  }
  const film = told.sources.some((one) => one.film);
  for (const times of document.querySelectorAll(".times")) times.hidden = !film;
  await more();
}

const times = (name) => ({ after: seconds($(`${name}-after`).value) ?? 0, before: seconds($(`${name}-before`).value) });

async function more() {
  const { after, before } = times("source");
  const told = await get(`/api/scenes?source=${$("source").value}&start=${state.listed}&after=${after}`
    + (before === null ? "" : `&before=${before}`));
  for (const scene of told.scenes) {
    const people = counted(scene.count, "person", "people");
    const when = scene.time === null ? "" : `at ${clock(scene.time)}, `;
    $("scenes").append(make("li", {}, make("button", { type: "button", onclick: () => openScene(scene.id, chosen) },
      image(`/api/scenes/${scene.id}/picture?small=true`, ""),
      make("span", {}, scene.name, make("small", {}, when + people)))));
  }
  state.listed += told.scenes.length;
  $("more").hidden = state.listed >= told.total;
  $("none").hidden = told.total > 0 || !$("empty").hidden;
  return counted(told.total, "picture", "pictures");
}

function browse() {
  state.listed = 0;
  $("scenes").replaceChildren();
  return trying("Loading…", more);
}

// ------------------------------------------------------------------ who is asked for

function chosen(sight) {
  if (state.sights.length && $("same").checked) return mark("sights", sight);
  state.sights = [sight];
  state.others = [];
  return ask();
}

function mark(list, sight) {
  for (const one of ["sights", "others"]) state[one] = state[one].filter((kept) => kept.id !== sight.id);
  if (list === "others" && !state.sights.length) return clear();
  state[list].push(sight);
  return ask();
}

function drop(list, id) {
  state[list] = state[list].filter((one) => one.id !== id);
  return state.sights.length ? ask() : clear();
}

function clear() {
  state.going?.abort();
  state.sights = [];
  state.others = [];
  $("asked").hidden = $("found").hidden = $("add").hidden = true;
  $("browse-title").focus();
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

function tray(list, words) {
  $(list).replaceChildren(...state[list].map((one, number) => make("li", {}, cut(one), make("button",
    { type: "button", "aria-label": `Take away: ${words} ${number + 1}`, onclick: () => drop(list, one.id) }, "×"))));
  $(`${list}-group`).hidden = !state[list].length;
}

// ------------------------------------------------------------------ asking

const question = () => ({ sights: state.sights.map((one) => one.id), others: state.others.map((one) => one.id),
  sure: Number($("sure").value), source: $("within").value || null, ...times("within") });

function ask() {
  state.going?.abort();
  const going = state.going = new AbortController();
  $("asked").hidden = $("add").hidden = false;
  tray("sights", "picture of this person");
  tray("others", "somebody else");
  $("sure-words").textContent = LEVELS[$("sure").value];
  $("sure").setAttribute("aria-valuetext", LEVELS[$("sure").value]);
  $("answers").setAttribute("aria-busy", "true");
  return trying(`Looking through ${counted(state.people, "sight", "sights")} of people…`, async () => {
    const told = await (await send("/api/ask", question(), going.signal)).json();
    if (going !== state.going) return "";
    return tell(told);
  }).finally(() => { if (going === state.going) $("answers").removeAttribute("aria-busy"); });
}

function tell({ answers, absent, searched }) {
  const count = counted(answers.length, "answer", "answers");
  const nobody = "Nobody here looks like this person";
  $("found-title").textContent = absent || !answers.length ? nobody : count;
  $("found-words").textContent = !searched ? "There is nobody to look through: choose another source or time."
    : absent && answers.length
      ? `The most alike of ${counted(searched, "sight", "sights")} are no more alike than strangers are. Here they are all the same.`
      : absent ? "The most alike are no more alike than strangers are. Move the slider to see them all the same."
      : answers.length ? "" : "Nobody is so alike. Move the slider to see who is less alike.";
  $("found-words").hidden = !$("found-words").textContent;
  $("found").classList.toggle("absent", Boolean(absent));
  $("answers").replaceChildren(...answers.map(answer));
  timelines(answers);
  const first = $("found").hidden;
  $("found").hidden = false;
  if (first) { $("asked").scrollIntoView(); $("found-title").focus({ preventScroll: true }); }
  return absent && answers.length ? `${nobody}; ${count} all the same` : answers.length ? count : nobody;
}

function when(one) {
  if (one.first === null) return "";
  return clock(one.first) === clock(one.last) ? `at ${clock(one.first)}` : `${clock(one.first)} to ${clock(one.last)}`;
}

function answer(one, number) {
  const [, rest] = one.words.split(": ");
  const open = () => openScene(one.scene, chosen, one.person), time = when(one);
  return make("li", {},
    make("button", { type: "button", class: "open", onclick: open,
      "aria-label": `Answer ${number + 1}, ${BADGES[one.sure]}, ${one.name} ${time}: open the whole picture` },
      crop(one.person, "")),
    make("div", { class: "text" }, make("b", {}, `${number + 1}. `, make("span", { class: `badge s${one.sure}` }, BADGES[one.sure])),
      make("span", { class: "where" }, one.name), ...(time ? [make("span", { class: "when" }, time)] : []),
      make("small", {}, rest)),
    make("div", { class: "pair", role: "group", "aria-label": `Is answer ${number + 1} this person?` },
      make("button", { type: "button", onclick: () => mark("sights", { id: one.person }) }, "It is"),
      make("button", { type: "button", onclick: () => mark("others", { id: one.person }) }, "It is not")));
}

function timelines(answers) {
  const films = new Map();
  answers.forEach((one, number) => {
    if (one.first !== null) films.set(one.source, [...(films.get(one.source) || []), { ...one, number }]);
  });
  $("timelines").replaceChildren(...[...films].map(([source, seen]) => {
    const end = Math.max(state.sources.get(source)?.length || 0, ...seen.map((one) => one.last), 1);
    const track = make("div", { class: "track" }, ...[...seen].sort((a, b) => a.first - b.first).map((one) => {
      const bar = make("button", { type: "button", class: `s${one.sure}`, title: when(one),
        "aria-label": `Answer ${one.number + 1}, ${when(one)}: open`,
        onclick: () => openScene(one.scene, chosen, one.person) }, String(one.number + 1));
      bar.style.left = `${100 * one.first / end}%`;
      bar.style.width = `${100 * (one.last - one.first) / end}%`;
      return bar;
    }));
    return make("div", { class: "timeline" }, make("div", {}, `When in ${seen[0].name}`), track,
      make("div", { class: "ends" }, make("span", {}, clock(0)), make("span", {}, clock(end))));
  }));
}

function save(form) {
  return trying("Writing…", async () => {
    const answer = await send(`/api/export/${form}`, question());
    const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: `answers.${form}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    return `Saved as answers.${form}`;
  });
}

// ------------------------------------------------------------------ what is on the page

let waiting = 0;
function soon() {  // a slider that is dragged asks once
  clearTimeout(waiting);
  $("sure-words").textContent = LEVELS[$("sure").value];
  waiting = setTimeout(ask, 150);
}

$("more").addEventListener("click", () => trying("Loading…", more));
for (const one of ["source", "source-after", "source-before"]) $(one).addEventListener("change", browse);
$("sure").addEventListener("input", soon);
for (const one of ["within", "within-after", "within-before"]) $(one).addEventListener("change", ask);
$("clear").addEventListener("click", clear);
$("csv").addEventListener("click", () => save("csv"));
$("json").addEventListener("click", () => save("json"));
$("file").addEventListener("change", () => { bring($("file").files[0], chosen); $("file").value = ""; });
$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  trying("Opening…", async () => {
    await send("/api/enter", { token: $("token").value });
    await sources();
  });
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") bring(event.dataTransfer.files[0], chosen);
  });
}
// #person=ID asks at once: for links, and for pictures of the page
const asked = new URLSearchParams(location.hash.slice(1)).get("person");
trying("Loading…", sources).then(() => { if (asked) chosen({ id: asked }); });
