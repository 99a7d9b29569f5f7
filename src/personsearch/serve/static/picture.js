// The dialog: one picture with its people as boxes, a box of one's own, and the film from that moment on.

import { $, call, clock, get, image, make, send, trying } from "./parts.js";

let shown = null;  // what the dialog shows: its picture, its size, and what a click does

function place(element, [x1, y1, x2, y2]) {
  element.style.left = `${100 * x1 / shown.width}%`;
  element.style.top = `${100 * y1 / shown.height}%`;
  element.style.width = `${100 * (x2 - x1) / shown.width}%`;
  element.style.height = `${100 * (y2 - y1) / shown.height}%`;
}

function show(told, words, marked) {
  shown = told;
  $("scene-words").textContent = words;
  $("scene-problem").hidden = true;
  $("stage").className = "stage";
  $("stage").replaceChildren(image(told.picture, "The whole picture", "eager"));
  const ordered = [...told.people].sort((a, b) => a.box[0] - b.box[0]);
  ordered.forEach((person, number) => {
    const box = make("button", { type: "button", class: person.id === marked ? "person her" : "person",
      "aria-label": `Person ${number + 1} of ${ordered.length} from the left${person.id === marked
        ? ", the answer" : ""}: look for this person`,
      title: "Look for this person", onclick: () => choose(person) });
    place(box, person.box);
    $("stage").append(box);
  });
  $("draw").hidden = false;
  $("ask-box").hidden = true;
  $("play").hidden = !told.film;
  if (!$("scene").open) $("scene").showModal();
  ($("stage").querySelector(".her") || $("scene-title")).focus();
}

function choose(person) {
  const own = shown.own ? { picture: shown.picture, width: shown.width, height: shown.height } : {};
  const pick = shown.pick;
  $("scene").close();
  pick({ id: person.id, box: person.box, ...own });
}

export function openScene(id, pick, marked) {
  return trying("Opening…", async () => {
    const told = await get(`/api/scenes/${id}`);
    $("scene-title").textContent = told.name + (told.time === null ? "" : ` at ${clock(told.time)}`);
    const words = told.people.length ? "Click on a person to look for them, or draw a box around somebody."
      : "Nobody was found in this picture. Draw a box around somebody to look for them.";
    show({ ...told, picture: `/api/scenes/${id}/picture`, draw: `/api/scenes/${id}/people`, pick,
      film: told.film && `/api/scenes/${id}/film#t=${told.time}` }, words, marked);
  });
}

export function bring(file, pick) {
  if (!file) return;
  return trying("Looking for people in your picture…", async () => {
    const told = await (await call("/api/pictures", { method: "POST", body: file })).json();
    $("scene-title").textContent = "Your picture";
    const words = told.people.length ? "Which of them do you look for? Click, or draw a box around somebody."
      : "Nobody was found in your picture. Draw a box around the person you look for.";
    show({ ...told, picture: `/api/pictures/${told.id}/picture`, draw: `/api/pictures/${told.id}/people`, pick,
      own: true }, words);
  });
}

// ------------------------------------------------------------------ a box of one's own

let box = null;  // in pixels of the picture

function drawing() {
  const { width, height } = shown;
  box = [0.4 * width, 0.25 * height, 0.6 * width, 0.75 * height];
  const frame = make("div", { class: "drawn", tabindex: "0", role: "application",
    "aria-label": "Your box. Arrow keys move it, with Shift they change its size, Enter looks for the person in it.",
    onkeydown: byKey });
  $("stage").classList.add("drawing");
  $("stage").querySelector(".drawn")?.remove();
  $("stage").append(frame);
  place(frame, box);
  $("draw").hidden = true;
  $("ask-box").hidden = false;
  $("scene-words").textContent = "Drag a box around the person, head to feet. Keys: arrows move it, Shift and arrows "
    + "change its size.";
  frame.focus();
}

function setBox(next) {
  const { width, height } = shown, least = 4;
  const [x1, y1, x2, y2] = next;
  if (x1 < 0 || y1 < 0 || x2 > width || y2 > height || x2 - x1 < least || y2 - y1 < least) return;
  box = next;
  place($("stage").querySelector(".drawn"), box);
}

function byKey(event) {
  const step = Math.max(2, shown.width / 100);
  const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key]
    || [0, 0];
  if (event.key === "Enter") { event.preventDefault(); return askBox(); }
  if (!dx && !dy) return;
  event.preventDefault();
  const [x1, y1, x2, y2] = box;
  setBox(event.shiftKey ? [x1, y1, x2 + dx, y2 + dy] : [x1 + dx, y1 + dy, x2 + dx, y2 + dy]);
}

function byPointer(event) {
  if (!$("stage").classList.contains("drawing") || event.button) return;
  event.preventDefault();
  const area = $("stage").getBoundingClientRect();
  const at = (one) => [Math.min(Math.max((one.clientX - area.left) / area.width, 0), 1) * shown.width,
    Math.min(Math.max((one.clientY - area.top) / area.height, 0), 1) * shown.height];
  const [x, y] = at(event);
  const move = (one) => {
    const [u, v] = at(one);
    setBox([Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)]);
  };
  $("stage").setPointerCapture(event.pointerId);
  $("stage").addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) {
    $("stage").addEventListener(end, () => $("stage").removeEventListener("pointermove", move), { once: true });
  }
}

function askBox() {
  return trying("Reading the person in your box…", async () => {
    const told = await (await send(shown.draw, { box: box.map((value) => Math.round(value * 10) / 10) })).json();
    const sight = { id: told.id, box: told.box };
    shown.own = true;  // it is cut out of this picture: nobody else has this box
    choose(sight);
  });
}

// ------------------------------------------------------------------ the film

function play() {
  const film = make("video", { src: shown.film, controls: "", autoplay: "", playsinline: "", "aria-label": "The film" });
  const still = [...$("stage").children];
  film.addEventListener("error", async () => {
    let line = "This browser cannot play films of this kind: here is the picture of that moment.";
    try { await call(shown.film, { headers: { Range: "bytes=0-0" } }); } catch (error) { line = error.message; }
    $("stage").replaceChildren(...still);
    $("scene-words").textContent = line;
  });
  $("play").hidden = $("draw").hidden = true;
  $("stage").replaceChildren(film);
  film.focus();
}

$("close").addEventListener("click", () => $("scene").close());
$("scene").addEventListener("close", () => $("stage").replaceChildren());
$("scene").addEventListener("click", (event) => { if (event.target === $("scene")) $("scene").close(); });
$("draw").addEventListener("click", drawing);
$("ask-box").addEventListener("click", askBox);
$("play").addEventListener("click", play);
$("stage").addEventListener("pointerdown", byPointer);
