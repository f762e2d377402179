// Reads a chosen file into the text of the form, so that what is sent can be seen.
"use strict";

const field = document.querySelector("input[data-into]");
field.addEventListener("change", async () => {
  const [file] = field.files;
  if (!file) return;
  document.getElementById(field.dataset.into).value = await file.text();
  field.form.elements.file.value = file.name;
});
