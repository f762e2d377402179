// --- dragging out is copying, dropping in is pasting --------------------------------------------------------------------

const OWN = "application/x-casb-inside";
let dragged = null; // what is dragged from this page: a name for it, and its data when that is kept from the system
const isOwn = (transfer) => Boolean(dragged) && dataOf(transfer, OWN) === dragged.id;

const onDragStart = (event, realm) => {
  const { act } = ruleFor("copy");
  dragged = { id: newId(), data: null };
  const named = () => quietly(() => putData(event.dataTransfer, OWN, dragged.id));
  named();
  if (act === "allow") return;
  const target = event.composedPath()[0];
  const text = selectedAt(event, realm);
  if (act === "audit") return void attempt("copy", text, "drag");
  // Whatever the application moves about by itself goes on working: the system gets a type that nobody reads.
  const own = event.composedPath().find((node) => node.getAttribute?.("draggable") === "true");
  if (own && target?.nodeType === 1) {
    quietly(() => event.dataTransfer.clearData());
    named();
    dragged.data = holdData(event.dataTransfer);
    return;
  }
  dragged = null;
  stop(event);
  refuse("copy", text, "drag");
};

const onDrop = (event, realm) => {
  if (isOwn(event.dataTransfer)) return;
  const { act } = ruleFor("paste");
  if (act === "allow") return;
  const [data, files] = contents(event.dataTransfer);
  const text = data["text/plain"] ?? "";
  if (act === "audit") return void attempt("paste", text, "drop");
  const target = event.composedPath()[0];
  stop(event);
  if (act === "block") return void refuse("paste", text, "drop");
  quietly(() => target.closest?.("input,textarea,[contenteditable]")?.focus());
  bringIn(realm, target, data, files, "drop");
};

control((realm) => {
  if (!realm.document) return;
  guardEvent(realm, "dragstart", (event) => onDragStart(event, realm));
  for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
    realm.addEventListener(type, (event) => dragged?.data && event.dataTransfer?.types.includes(OWN) && holdData(event.dataTransfer, dragged.data), { capture: true, passive: true });
  }
  guardEvent(realm, "drop", (event) => onDrop(event, realm));
  realm.addEventListener("dragend", () => later(() => (dragged = null), 0), { capture: true, passive: true });
});
checks.push(() => (answers("dragstart") ? "" : "drag"));
