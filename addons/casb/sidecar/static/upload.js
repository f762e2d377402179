// Puts the chosen files to addresses of their own, then sends the form with these in the place of the files.
"use strict";

const form = document.getElementById("upload");
const said = document.getElementById("said");
const most = 20;

function put(path, file, told) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.upload.addEventListener("progress", (event) => told(event.loaded));
    request.addEventListener("load", () => (request.status === 200 ? done() : failed(new Error(`${file.name}: the portal answered ${request.status}.`))));
    request.addEventListener("error", () => failed(new Error(`${file.name} could not be sent.`)));
    request.send(file);
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = [...document.getElementById("files").files];
  if (!files.length || files.length > most) { said.textContent = `Choose 1 to ${most} files.`; return; }
  const button = form.querySelector("button");
  button.disabled = true;
  form.querySelectorAll("input[name=upload]").forEach((each) => each.remove());
  const whole = files.reduce((sum, each) => sum + each.size, 0) || 1;
  let before = 0;
  try {
    for (const file of files) {
      const query = new URLSearchParams({ filename: file.name, source: form.elements.source.value || "auto" });
      const answer = await fetch(`/api/v1/discovery/upload_url/?${query}`);
      if (!answer.ok) throw new Error(`${file.name}: the portal answered ${answer.status}.`);
      // Whatever name the portal is reached by, the file goes to where this page came from.
      const path = new URL((await answer.json()).url).pathname;
      await put(path, file, (sent) => { said.textContent = `Sending ${file.name}: ${Math.floor((100 * (before + sent)) / whole)}% of all`; });
      before += file.size;
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "upload", value: path });
      form.append(field);
    }
    form.submit();
  } catch (error) {
    said.textContent = error.message;
    button.disabled = false;
  }
});
