// Checks a policy file while it is edited and shows what it would have done. Texts are set as texts, never as markup.
"use strict";

const form = document.getElementById("try");
const area = document.getElementById("text");
const said = document.getElementById("said");
const outcome = document.getElementById("outcome");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (answer.status >= 500 || !(answer.headers.get("content-type") || "").startsWith("application/json")) {
    throw new Error(answer.status === 413 ? "The text is too long." : `The portal answered ${answer.status}.`);
  }
  return answer.json();
}

function problems(list, kind) {
  const found = element("ol", undefined, "errors");
  for (const each of list) {
    const line = element("li");
    const here = !each.file || each.file === form.elements.name.value;
    const where = `${here ? "" : each.file + ":"}${each.line}:${each.column}`;
    const place = here ? element("button", where, "quiet small") : element("a", where);
    if (here) {
      place.type = "button";
      place.addEventListener("click", () => go(each.line, each.column));
    } else {
      place.href = `/policies/try?file=${encodeURIComponent(each.file)}`;
    }
    line.append(place, " ", element("b", each.code), ` ${kind}${each.message}${each.hint ? "; " + each.hint : ""}`);
    found.append(line);
  }
  return found;
}

function go(line, column) {
  const lines = area.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + Math.max(0, column - 1);
  area.focus();
  area.setSelectionRange(start, start + 1);
}

let waiting, asked = 0;
async function check() {
  const mine = ++asked;
  let found;
  try {
    found = await ask("/policies/check");
  } catch (error) {
    found = { errors: [{ line: 0, column: 0, code: "", message: error.message, hint: "" }], warnings: [] };
  }
  if (mine !== asked) return;
  said.replaceChildren();
  if (found.errors.length) {
    said.append(problems(found.errors, ""));
  } else {
    const list = element("ul", undefined, "files");
    for (const each of found.policies) list.append(element("li", each));
    said.append(element("p", "All well. The file says:", "notice good"), list, problems(found.warnings, "warning: "));
  }
}

area.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(check, 300); });
area.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && area.selectionStart !== area.selectionEnd) {
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionStart, "end");
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  outcome.hidden = false;
  outcome.replaceChildren(element("p", "Deciding last week again…"));
  try {
    show(await ask("/policies/preview"));
  } catch (error) {
    outcome.replaceChildren(element("p", error.message, "notice bad"));
  }
});

function show(found) {
  outcome.replaceChildren();
  if (found.errors) {
    outcome.append(element("p", "Mend the errors first.", "notice bad"), problems(found.errors, ""));
    return;
  }
  const many = new Intl.NumberFormat();
  const text = found.changed
    ? `${many.format(found.changed)} of ${many.format(found.total)} activities would go otherwise: ${many.format(found.tighter)} more strictly, ${many.format(found.looser)} more mildly, for ${many.format(found.people.affected)} people.`
    : `None of ${many.format(found.total)} activities would go otherwise.`;
  outcome.append(element("h2", "Last week"), element("p", text + (found.cut ? " There are older ones that were not looked at." : "")));
  if (found.differences.length) {
    const list = element("ul", undefined, "files");
    for (const each of found.differences) list.append(element("li", `${{ tighter: "▲", looser: "▼" }[each.direction] || "·"} ${each.policy}: ${each.what}`));
    outcome.append(list);
  }
  if (found.transitions.length) outcome.append(table(["Now", "With the change", "Activities"], found.transitions.map((each) => [each.before, each.after, many.format(each.activities)])));
  if (found.people.most.length) outcome.append(table(["Person", "Stricter", "Milder"], found.people.most.map((each) => [each.user, each.tighter, each.looser])));
  const shadow = found.policies.shadow;
  if (shadow.length) outcome.append(table(["In shadow", "Would", "Activities"], shadow.map((each) => [each.policy, each.action, many.format(each.activities)])));
}

function table(heads, rows) {
  const made = element("table"), head = element("tr"), body = element("tbody"), top = element("thead");
  for (const each of heads) head.append(element("th", each));
  for (const row of rows) {
    const line = element("tr");
    for (const each of row) line.append(element("td", each));
    body.append(line);
  }
  top.append(head);
  made.append(top, body);
  return made;
}

check();
