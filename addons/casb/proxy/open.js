// Opens protected files in the browser. The file stays on the device: an age container is decrypted here, chunk by
// chunk, with a key that the server gives after it has looked at person, device and policy; of any other file only the
// SHA-256 is sent, and the password comes back. age v1: c2sp.org/age; ChaCha20-Poly1305: RFC 8439.
"use strict";
const CHUNK = 65536, TAG = 16, NONCE = 16, HEAD = 16384, WHOLE = 512 * 1024 * 1024, PART = 4 * 1024 * 1024;

class Refused extends Error {}

// The sixteen words of a ChaCha20 state, as variables: an array here would cost four fifths of the speed.
class ChaCha {
  constructor(key, nonce) {
    const words = new DataView(key.buffer, key.byteOffset, 32), last = new DataView(nonce.buffer, nonce.byteOffset, 12);
    this.state = new Int32Array(16);
    this.state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
    for (let i = 0; i < 8; i++) this.state[4 + i] = words.getInt32(4 * i, true);
    for (let i = 0; i < 3; i++) this.state[13 + i] = last.getInt32(4 * i, true);
    this.work = new Int32Array(16);
  }
  block(counter) {
    const s = this.state, o = this.work;
    s[12] = counter;
    let x0 = s[0], x1 = s[1], x2 = s[2], x3 = s[3], x4 = s[4], x5 = s[5], x6 = s[6], x7 = s[7],
      x8 = s[8], x9 = s[9], x10 = s[10], x11 = s[11], x12 = s[12], x13 = s[13], x14 = s[14], x15 = s[15];
    for (let round = 0; round < 10; round++) {
      x0 = (x0 + x4) | 0; x12 ^= x0; x12 = (x12 << 16) | (x12 >>> 16); x8 = (x8 + x12) | 0; x4 ^= x8; x4 = (x4 << 12) | (x4 >>> 20);
      x0 = (x0 + x4) | 0; x12 ^= x0; x12 = (x12 << 8) | (x12 >>> 24); x8 = (x8 + x12) | 0; x4 ^= x8; x4 = (x4 << 7) | (x4 >>> 25);
      x1 = (x1 + x5) | 0; x13 ^= x1; x13 = (x13 << 16) | (x13 >>> 16); x9 = (x9 + x13) | 0; x5 ^= x9; x5 = (x5 << 12) | (x5 >>> 20);
      x1 = (x1 + x5) | 0; x13 ^= x1; x13 = (x13 << 8) | (x13 >>> 24); x9 = (x9 + x13) | 0; x5 ^= x9; x5 = (x5 << 7) | (x5 >>> 25);
      x2 = (x2 + x6) | 0; x14 ^= x2; x14 = (x14 << 16) | (x14 >>> 16); x10 = (x10 + x14) | 0; x6 ^= x10; x6 = (x6 << 12) | (x6 >>> 20);
      x2 = (x2 + x6) | 0; x14 ^= x2; x14 = (x14 << 8) | (x14 >>> 24); x10 = (x10 + x14) | 0; x6 ^= x10; x6 = (x6 << 7) | (x6 >>> 25);
      x3 = (x3 + x7) | 0; x15 ^= x3; x15 = (x15 << 16) | (x15 >>> 16); x11 = (x11 + x15) | 0; x7 ^= x11; x7 = (x7 << 12) | (x7 >>> 20);
      x3 = (x3 + x7) | 0; x15 ^= x3; x15 = (x15 << 8) | (x15 >>> 24); x11 = (x11 + x15) | 0; x7 ^= x11; x7 = (x7 << 7) | (x7 >>> 25);
      x0 = (x0 + x5) | 0; x15 ^= x0; x15 = (x15 << 16) | (x15 >>> 16); x10 = (x10 + x15) | 0; x5 ^= x10; x5 = (x5 << 12) | (x5 >>> 20);
      x0 = (x0 + x5) | 0; x15 ^= x0; x15 = (x15 << 8) | (x15 >>> 24); x10 = (x10 + x15) | 0; x5 ^= x10; x5 = (x5 << 7) | (x5 >>> 25);
      x1 = (x1 + x6) | 0; x12 ^= x1; x12 = (x12 << 16) | (x12 >>> 16); x11 = (x11 + x12) | 0; x6 ^= x11; x6 = (x6 << 12) | (x6 >>> 20);
      x1 = (x1 + x6) | 0; x12 ^= x1; x12 = (x12 << 8) | (x12 >>> 24); x11 = (x11 + x12) | 0; x6 ^= x11; x6 = (x6 << 7) | (x6 >>> 25);
      x2 = (x2 + x7) | 0; x13 ^= x2; x13 = (x13 << 16) | (x13 >>> 16); x8 = (x8 + x13) | 0; x7 ^= x8; x7 = (x7 << 12) | (x7 >>> 20);
      x2 = (x2 + x7) | 0; x13 ^= x2; x13 = (x13 << 8) | (x13 >>> 24); x8 = (x8 + x13) | 0; x7 ^= x8; x7 = (x7 << 7) | (x7 >>> 25);
      x3 = (x3 + x4) | 0; x14 ^= x3; x14 = (x14 << 16) | (x14 >>> 16); x9 = (x9 + x14) | 0; x4 ^= x9; x4 = (x4 << 12) | (x4 >>> 20);
      x3 = (x3 + x4) | 0; x14 ^= x3; x14 = (x14 << 8) | (x14 >>> 24); x9 = (x9 + x14) | 0; x4 ^= x9; x4 = (x4 << 7) | (x4 >>> 25);
    }
    o[0] = x0 + s[0]; o[1] = x1 + s[1]; o[2] = x2 + s[2]; o[3] = x3 + s[3];
    o[4] = x4 + s[4]; o[5] = x5 + s[5]; o[6] = x6 + s[6]; o[7] = x7 + s[7];
    o[8] = x8 + s[8]; o[9] = x9 + s[9]; o[10] = x10 + s[10]; o[11] = x11 + s[11];
    o[12] = x12 + s[12]; o[13] = x13 + s[13]; o[14] = x14 + s[14]; o[15] = x15 + s[15];
    return o;
  }
  crypt(data) {
    const out = new Uint8Array(data.length), stream = new Uint8Array(this.work.buffer);
    for (let at = 0, counter = 1; at < data.length; at += 64, counter++) {
      this.block(counter); // browsers run on little-endian machines only, so the words are the bytes
      const end = Math.min(64, data.length - at);
      for (let i = 0; i < end; i++) out[at + i] = data[at + i] ^ stream[i];
    }
    return out;
  }
}

// Poly1305 with ten limbs of 13 bits: every sum stays below 2^53, so numbers are exact.
function limbs(bytes, at, high) {
  const words = [0, 2, 4, 6, 8, 10, 12, 14].map((i) => bytes[at + i] | (bytes[at + i + 1] << 8));
  const [a, b, c, d, e, f, g, h] = words, mask = 0x1fff;
  return [
    a & mask, ((a >>> 13) | (b << 3)) & mask, ((b >>> 10) | (c << 6)) & mask, ((c >>> 7) | (d << 9)) & mask,
    ((d >>> 4) | (e << 12)) & mask, (e >>> 1) & mask, ((e >>> 14) | (f << 2)) & mask,
    ((f >>> 11) | (g << 5)) & mask, ((g >>> 8) | (h << 8)) & mask, (h >>> 5) | high];
}

class Poly {
  constructor(key) {
    const clamped = key.slice(0, 16);
    for (const i of [3, 7, 11, 15]) clamped[i] &= 15;
    for (const i of [4, 8, 12]) clamped[i] &= 252;
    this.r = limbs(clamped, 0, 0);
    this.h = new Float64Array(10);
    this.pad = key.slice(16, 32);
  }
  update(bytes) {
    const whole = bytes.length & ~15;
    this.absorb(bytes, whole);
    if (whole < bytes.length) {
      const rest = new Uint8Array(16); // the AEAD pads with zeros, RFC 8439 section 2.8
      rest.set(bytes.subarray(whole));
      this.absorb(rest, 16);
    }
  }
  absorb(bytes, length) {
    const [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = this.r, mask = 0x1fff;
    const s1 = 5 * r1, s2 = 5 * r2, s3 = 5 * r3, s4 = 5 * r4, s5 = 5 * r5, s6 = 5 * r6, s7 = 5 * r7, s8 = 5 * r8, s9 = 5 * r9;
    let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9] = this.h, d = 0, carry = 0;
    for (let at = 0; at < length; at += 16) {
      const a = bytes[at] | (bytes[at + 1] << 8), b = bytes[at + 2] | (bytes[at + 3] << 8);
      const c = bytes[at + 4] | (bytes[at + 5] << 8), e = bytes[at + 6] | (bytes[at + 7] << 8);
      const f = bytes[at + 8] | (bytes[at + 9] << 8), g = bytes[at + 10] | (bytes[at + 11] << 8);
      const k = bytes[at + 12] | (bytes[at + 13] << 8), l = bytes[at + 14] | (bytes[at + 15] << 8);
      h0 += a & mask; h1 += ((a >>> 13) | (b << 3)) & mask; h2 += ((b >>> 10) | (c << 6)) & mask;
      h3 += ((c >>> 7) | (e << 9)) & mask; h4 += ((e >>> 4) | (f << 12)) & mask; h5 += (f >>> 1) & mask;
      h6 += ((f >>> 14) | (g << 2)) & mask; h7 += ((g >>> 11) | (k << 5)) & mask;
      h8 += ((k >>> 8) | (l << 8)) & mask; h9 += (l >>> 5) | 2048;
      carry = 0;
      d = carry + h0 * r0 + h1 * s9 + h2 * s8 + h3 * s7 + h4 * s6 + h5 * s5 + h6 * s4 + h7 * s3 + h8 * s2 + h9 * s1;
      carry = Math.floor(d / 8192); const n0 = d - carry * 8192;
      d = carry + h0 * r1 + h1 * r0 + h2 * s9 + h3 * s8 + h4 * s7 + h5 * s6 + h6 * s5 + h7 * s4 + h8 * s3 + h9 * s2;
      carry = Math.floor(d / 8192); const n1 = d - carry * 8192;
      d = carry + h0 * r2 + h1 * r1 + h2 * r0 + h3 * s9 + h4 * s8 + h5 * s7 + h6 * s6 + h7 * s5 + h8 * s4 + h9 * s3;
      carry = Math.floor(d / 8192); const n2 = d - carry * 8192;
      d = carry + h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s9 + h5 * s8 + h6 * s7 + h7 * s6 + h8 * s5 + h9 * s4;
      carry = Math.floor(d / 8192); const n3 = d - carry * 8192;
      d = carry + h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * s9 + h6 * s8 + h7 * s7 + h8 * s6 + h9 * s5;
      carry = Math.floor(d / 8192); const n4 = d - carry * 8192;
      d = carry + h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0 + h6 * s9 + h7 * s8 + h8 * s7 + h9 * s6;
      carry = Math.floor(d / 8192); const n5 = d - carry * 8192;
      d = carry + h0 * r6 + h1 * r5 + h2 * r4 + h3 * r3 + h4 * r2 + h5 * r1 + h6 * r0 + h7 * s9 + h8 * s8 + h9 * s7;
      carry = Math.floor(d / 8192); const n6 = d - carry * 8192;
      d = carry + h0 * r7 + h1 * r6 + h2 * r5 + h3 * r4 + h4 * r3 + h5 * r2 + h6 * r1 + h7 * r0 + h8 * s9 + h9 * s8;
      carry = Math.floor(d / 8192); const n7 = d - carry * 8192;
      d = carry + h0 * r8 + h1 * r7 + h2 * r6 + h3 * r5 + h4 * r4 + h5 * r3 + h6 * r2 + h7 * r1 + h8 * r0 + h9 * s9;
      carry = Math.floor(d / 8192); const n8 = d - carry * 8192;
      d = carry + h0 * r9 + h1 * r8 + h2 * r7 + h3 * r6 + h4 * r5 + h5 * r4 + h6 * r3 + h7 * r2 + h8 * r1 + h9 * r0;
      carry = Math.floor(d / 8192); const n9 = d - carry * 8192;
      d = n0 + 5 * carry; carry = Math.floor(d / 8192);
      h0 = d - carry * 8192; h1 = n1 + carry; h2 = n2; h3 = n3; h4 = n4; h5 = n5; h6 = n6; h7 = n7; h8 = n8; h9 = n9;
    }
    this.h.set([h0, h1, h2, h3, h4, h5, h6, h7, h8, h9]);
  }
  finish() {
    let number = 0n;
    for (let i = 9; i >= 0; i--) number = number * 8192n + BigInt(this.h[i]);
    number %= (1n << 130n) - 5n;
    let pad = 0n;
    for (let i = 15; i >= 0; i--) pad = (pad << 8n) | BigInt(this.pad[i]);
    number += pad;
    const tag = new Uint8Array(16);
    for (let i = 0; i < 16; i++, number >>= 8n) tag[i] = Number(number & 255n);
    return tag;
  }
}

function decryptChunk(key, counter, last, sealed) {
  const nonce = new Uint8Array(12);
  for (let i = 10, rest = counter; rest > 0; i--, rest = Math.floor(rest / 256)) nonce[i] = rest % 256;
  nonce[11] = last ? 1 : 0;
  const cipher = new ChaCha(key, nonce), body = sealed.subarray(0, sealed.length - TAG);
  const poly = new Poly(new Uint8Array(cipher.block(0).buffer.slice(0, 32)));
  poly.update(body);
  const lengths = new Uint8Array(16);
  new DataView(lengths.buffer).setUint32(8, body.length, true);
  poly.update(lengths);
  const expected = poly.finish(), told = sealed.subarray(sealed.length - TAG);
  let difference = 0;
  for (let i = 0; i < TAG; i++) difference |= expected[i] ^ told[i];
  if (difference || sealed.length < TAG) throw new Refused("The file was changed or cut after it was encrypted.");
  return cipher.crypt(body);
}

async function ask(path, body, type) {
  const answer = await fetch(path, { method: "POST", body, headers: { "content-type": type }, redirect: "error" });
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Refused(told.message || "This file cannot be opened.");
  return told;
}

const bytesOf = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

async function openAge(file, progress) {
  const told = await ask("/.casb/open/key", await file.slice(0, HEAD).arrayBuffer(), "application/octet-stream");
  const start = told.length, nonce = await file.slice(start, start + NONCE).arrayBuffer();
  const from = await crypto.subtle.importKey("raw", bytesOf(told.key), "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: nonce, info: new TextEncoder().encode("payload") };
  const key = new Uint8Array(await crypto.subtle.deriveBits(how, from, 256));
  const sink = await sinkFor(told.name, file.size);
  const whole = CHUNK + TAG;
  let held = new Uint8Array(0), counter = 0, done = 0;
  const reader = file.slice(start + NONCE).stream().getReader();
  for (;;) {
    const { value, done: over } = await reader.read();
    if (value) {
      const joined = new Uint8Array(held.length + value.length);
      joined.set(held);
      joined.set(value, held.length);
      let at = 0;
      for (; joined.length - at > whole; at += whole) {
        await sink.write(decryptChunk(key, counter++, false, joined.subarray(at, at + whole)));
      }
      held = joined.slice(at);
      done += value.length;
      progress(done / file.size);
    }
    if (over) break;
  }
  if (held.length < TAG || (held.length === TAG && counter)) throw new Refused("The file ends too early.");
  await sink.write(decryptChunk(key, counter, true, held));
  await sink.close();
  return told.name;
}

// A large file goes straight to the disk where the browser can do that; parts of a Blob are kept on disk by browsers.
async function sinkFor(name, size) {
  if (size > WHOLE && window.showSaveFilePicker) {
    const writable = await (await window.showSaveFilePicker({ suggestedName: name })).createWritable();
    return { write: (data) => writable.write(data), close: () => writable.close() };
  }
  const parts = [];
  let waiting = [], length = 0;
  const settle = () => { parts.push(new Blob(waiting)); waiting = []; length = 0; };
  return {
    write(data) { waiting.push(data); length += data.length; if (length >= PART) settle(); },
    close() {
      settle();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    },
  };
}

const hex = (buffer) => Array.from(new Uint8Array(buffer), (each) => each.toString(16).padStart(2, "0")).join("");

async function fileIdIn(file) {
  const head = new Uint8Array(await file.slice(0, 4096).arrayBuffer());
  const text = Array.from(head, (each) => String.fromCharCode(each)).join("");
  const cms = text.indexOf("\x02\x01\x04\x30\x22\x04\x20"); // a key-encryption key's id, RFC 5652 section 6.2.3
  if (head[0] === 0x30 && cms > 0) return text.slice(cms + 7, cms + 39);
  const tail = await file.slice(Math.max(0, file.size - 200)).text();
  const zip = /casb ([0-9a-f]{32})$/.exec(tail);
  return zip ? zip[1] : "";
}

async function showSecret(question) {
  const told = await ask("/.casb/open/secret", JSON.stringify(question), "application/json");
  const box = document.getElementById("secret");
  document.getElementById("secret-name").textContent = told.name;
  document.getElementById("secret-text").value = told.secret;
  document.getElementById("secret-help").textContent = told.help;
  box.hidden = false;
  document.getElementById("secret-text").focus();
}

function say(text, bad) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.className = bad ? "bad" : "";
}

async function guarded(work) {
  say("Working…");
  try {
    say((await work()) || "");
  } catch (error) {
    say(error instanceof Refused ? error.message : "This file cannot be opened.", true);
  }
}

async function chosen(file) {
  const magic = await file.slice(0, 22).text();
  if (magic === "age-encryption.org/v1\n") {
    const name = await openAge(file, (part) => say(`Working… ${Math.round(part * 100)} %`));
    return `${name} was opened and saved.`;
  }
  const id = await fileIdIn(file);
  if (id) return showSecret({ file: id });
  if (file.size > WHOLE) throw new Refused("This is no protected file.");
  return showSecret({ sha256: hex(await crypto.subtle.digest("SHA-256", await file.arrayBuffer())) });
}

document.getElementById("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const file = document.getElementById("file").files[0];
  if (file) guarded(() => chosen(file));
});
document.getElementById("copy").addEventListener("click", () => {
  const text = document.getElementById("secret-text");
  navigator.clipboard.writeText(text.value).then(() => say("Copied."), () => { text.select(); say("Press Ctrl+C to copy."); });
});
for (const form of document.querySelectorAll("form[data-file]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    guarded(() => showSecret({ file: form.dataset.file }));
  });
}
