// What the page is made of: elements, words for times, and calls to its own server.

export const $ = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export const counted = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export function clock(seconds) {
  const whole = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return (hours ? `${hours}:` : "") + `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

// 90, 1:30 and 0:01:30 are the same; null where nothing is written. Throws what to do about anything else.
export function seconds(text) {
  if (!text.trim()) return null;
  if (!/^\d+(:\d{1,2}){0,2}$/.test(text.trim())) throw new Error("Write a time as minutes and seconds, such as 1:30.");
  return text.trim().split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

export async function call(path, options) {
  let answer;
  try { answer = await fetch(path, options); }
  catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The page's program does not answer: is it still running?");
  }
  if (answer.status === 401 && path !== "/api/enter") { $("door").hidden = false; $("main").hidden = true; }
  if (!answer.ok) {
    let line = `It did not work (${answer.status}).`;
    try { line = (await answer.json()).error; } catch { /* no sentence came */ }
    throw new Error(line[0].toUpperCase() + line.slice(1) + (line.endsWith(".") ? "" : "."));
  }
  return answer;
}

export const get = async (path) => (await call(path)).json();
export const send = (path, body, signal) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });

// Says what is done while it is done, for how long when it is long, and one sentence when it fails.
let works = 0;
export async function trying(words, work) {
  const own = ++works, began = Date.now();
  $("problem").hidden = $("scene-problem").hidden = true;
  $("status").textContent = words;
  const slow = setInterval(() => {
    if (own !== works) return clearInterval(slow);
    $("working").hidden = false;
    $("working-time").textContent = `${Math.round((Date.now() - began) / 1000)} s`;
  }, 400);
  let said = "";
  try { said = (await work()) || ""; }
  catch (error) {
    if (error.name !== "AbortError") {
      const place = $("scene").open ? $("scene-problem") : $("problem");  // what a dialog covers nobody reads
      place.textContent = error.message;
      place.hidden = false;
      place.scrollIntoView({ block: "nearest" });
    }
  } finally {
    clearInterval(slow);
    if (own === works) { $("working").hidden = true; $("status").textContent = said; }
  }
}

// A picture; where its file is gone, the sentence that says so.
export function image(path, alt, lazy = "lazy") {
  const shown = make("img", { src: path, alt, loading: lazy });
  shown.addEventListener("error", async () => {
    let line = "This picture cannot be shown.";
    try { await call(path); } catch (error) { line = error.message; }
    shown.replaceWith(make("span", { class: "lost" }, line));
  });
  return shown;
}

export const crop = (id, alt) => image(`/api/people/${id}/picture`, alt);
