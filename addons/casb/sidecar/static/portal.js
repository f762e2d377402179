// Small comforts; every page works without them.
"use strict";

// A click anywhere on a row of the log opens it; links and selected text behave as ever.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, button, input") || String(getSelection())) return;
  if (event.metaKey || event.ctrlKey) open(row.dataset.href, "_blank", "noopener");
  else location.assign(row.dataset.href);
});

// "/" goes to the search field, j and k walk through the rows.
document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    const field = document.querySelector("input[type=search]");
    if (field) { field.focus(); event.preventDefault(); }
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll("tr[data-href] td:first-child a")];
    const next = links[links.indexOf(document.activeElement) + (event.key === "j" ? 1 : -1)];
    if (next) next.focus();
  }
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// Empty fields stay out of the address of a search.
for (const form of document.querySelectorAll("form[method=get]")) {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });
}

// The viewer's own time, on pointing at a time.
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!isNaN(moment)) time.title = moment.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

// Countries by their names, where the browser knows them.
if (Intl.DisplayNames) {
  const names = new Intl.DisplayNames(["en"], { type: "region" });
  for (const each of document.querySelectorAll("[data-country]")) {
    try { each.textContent = names.of(each.dataset.country) || each.textContent; } catch { /* stays a code */ }
  }
}

// Ticks all rows of a table.
for (const every of document.querySelectorAll("input[data-all]")) {
  every.hidden = false;
  every.addEventListener("change", () => {
    for (const box of every.closest("table").querySelectorAll("tbody input[type=checkbox]")) box.checked = every.checked;
  });
}

// While something is under way, the page looks again.
if (document.querySelector("[data-refresh]")) setTimeout(() => location.reload(), 4000);
