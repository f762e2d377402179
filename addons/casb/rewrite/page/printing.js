// --- printing: print(), the keys, the menu, and what a printer gets all the same ----------------------------------------

const NOTICE = "This page may not be printed, by a policy of your organisation.";
const PRINT_STYLE = `@media print {
  html:not(#casb):not(#casb):not(#casb) { background: none !important; height: auto !important }
  html:not(#casb):not(#casb):not(#casb) > * { display: none !important }
  html:not(#casb):not(#casb):not(#casb)::before {
    content: "${NOTICE}" !important; display: block !important; visibility: visible !important; position: static !important;
    padding: 4cm 2cm !important; font: 18pt/1.4 sans-serif !important; color: #000 !important; text-align: center !important;
  }
}`;
const covers = new WeakMap(); // document → the sheet that shows a printer the notice alone
let lifted = false; // while something is printed that may be
const mayPrint = () => lifted || ["allow", "audit"].includes(ruleFor("print").act);
const sheetsOf = getOwnPropertyDescriptor(here.Document?.prototype ?? {}, "adoptedStyleSheets");
const cover = (realm) => {
  const root = realm.document;
  let sheet = covers.get(root);
  if (!sheet) covers.set(root, (sheet = new realm.CSSStyleSheet()));
  const text = mayPrint() ? "" : PRINT_STYLE;
  if (sheet.casb !== text) {
    sheet.replaceSync(text);
    sheet.casb = text;
  }
  const worn = apply(sheetsOf.get, root, []);
  if (!Array.prototype.includes.call(worn, sheet)) apply(sheetsOf.set, root, [[...worn, sheet]]);
};
renew = (realm) => quietly(() => cover(realm));
const printed = []; // the realms of this page
const coverAll = () => printed.forEach((realm) => quietly(() => cover(realm)));

/** A browser may print only after print() has returned. */
const settle = () => later(() => {
  lifted = false;
  coverAll();
}, 2000);
const printNow = (realm) => {
  lifted = true;
  coverAll();
  try {
    apply(nativePrint.get(realm), realm, []);
  } finally {
    settle();
  }
};
const pageText = (realm) => (ruleFor("print").text ? quietlyOr("", () => realm.document.body?.innerText ?? "") : "");
const nativePrint = new WeakMap();
const wishToPrint = async (realm, via) => {
  const { act } = ruleFor("print");
  const text = pageText(realm);
  if (act === "block") return refuse("print", text, via);
  if (await granted("print", text, via)) printNow(realm);
};

control((realm) => {
  if (!realm.document) return;
  printed.push(realm);
  quietly(() => cover(realm));
  const found = getOwnPropertyDescriptor(realm, "print")?.value;
  if (found) nativePrint.set(realm, found);
  method(realm, "print", (native, self, args) => {
    const { act } = ruleFor("print");
    if (act === "allow") return apply(native, self, args);
    if (act === "audit") {
      attempt("print", pageText(realm), "print()");
      lifted = true;
      try {
        return apply(native, self, args);
      } finally {
        settle();
      }
    }
    return void wishToPrint(realm, "print()");
  });
  realm.addEventListener("keydown", (event) => {
    if (!event.isTrusted || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (event.key !== "p" && event.key !== "P") return;
    const { act } = ruleFor("print");
    if (act !== "block" && act !== "ask") return;
    stop(event);
    wishToPrint(realm, "keyboard");
  }, true);
  realm.addEventListener("beforeprint", () => {
    if (lifted || !outermost()) return; // frames of a page are printed with it
    coverAll();
    const { act } = ruleFor("print");
    if (act === "audit") attempt("print", pageText(realm), "menu");
    else if (act !== "allow") refuse("print", pageText(realm), "menu");
  }, true);
  accessor(realm.Document.prototype, "adoptedStyleSheets", null, (sheets, self) => {
    const sheet = covers.get(self);
    return !sheet || !sheets?.[Symbol.iterator] || Array.prototype.includes.call([...sheets], sheet) ? sheets : [...sheets, sheet];
  });
});
checks.push(() => {
  const root = here.document;
  const there = mayPrint() || Array.prototype.includes.call(apply(sheetsOf.get, root, []), covers.get(root));
  coverAll();
  return there ? "" : "print";
});
