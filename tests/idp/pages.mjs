// What a person sees: sign-in, sign-out and errors. Served with a strict policy; the only script is sign-out's.

import { createHash } from 'node:crypto';

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escape = (text) => String(text ?? '').replace(/[&<>"']/g, (character) => ESCAPES[character]);

const STYLE = `
:root { color-scheme: light; font: 16px/1.5 "Segoe UI", system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: linear-gradient(135deg, #dfe9f5, #f6f1ea 60%, #e6f0ea); color: #1b1b1b; }
main { background: #fff; width: min(26rem, calc(100vw - 3rem)); padding: 2.5rem; box-shadow: 0 2px 18px rgba(0, 0, 0, .14); border-radius: 4px; }
.org { display: flex; align-items: center; gap: .6rem; color: #5a5a5a; font-weight: 600; margin-bottom: 1.4rem; }
.mark { width: 1.5rem; height: 1.5rem; display: grid; grid-template-columns: 1fr 1fr; gap: 2px; }
.mark i { background: #2f6f9f; } .mark i:nth-child(2) { background: #6aa84f; } .mark i:nth-child(3) { background: #e0a030; } .mark i:nth-child(4) { background: #b5533c; }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 .8rem; }
input[type=text] { box-sizing: border-box; width: 100%; font: inherit; padding: .45rem .1rem; border: 0; border-bottom: 1px solid #6a6a6a; outline-offset: 3px; }
label.box { display: flex; gap: .5rem; align-items: center; margin: 1.1rem 0; }
button { font: inherit; cursor: pointer; } button.primary { background: #1f5f99; color: #fff; border: 0; padding: .45rem 2.2rem; float: right; border-radius: 2px; }
button.primary:hover { background: #174c7c; }
fieldset { border: 0; padding: 0; margin: 1.6rem 0 0; clear: both; } legend { color: #5a5a5a; font-size: .85rem; padding: 0 0 .4rem; }
.user { display: flex; width: 100%; justify-content: space-between; gap: 1rem; text-align: left; background: none; border: 0; border-top: 1px solid #e7e7e7; padding: .55rem .3rem; }
.user:hover { background: #f3f6fa; } .user small { color: #5a5a5a; display: block; }
.device { align-self: center; font-size: .75rem; padding: .1rem .5rem; border-radius: 1rem; background: #e5f1e5; color: #1e5c1e; white-space: nowrap; }
.device.unmanaged { background: #fbe9e3; color: #8a2f12; }
.error { color: #a4262c; margin: 0 0 .8rem; } .note { color: #5a5a5a; font-size: .85rem; } code { font-size: .85em; }
`;

const LEAVE = "const go = () => document.getElementById('op.logoutForm').submit(); setTimeout(go, document.querySelector('iframe') ? 600 : 0);";
const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Headers of every page here. Frames are allowed only where front-channel logout needs them. */
export function pageHeaders(frames = "'none'") {
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
    'X-Frame-Options': 'DENY',
    'Content-Security-Policy': `default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(LEAVE)}; frame-src ${frames}; frame-ancestors 'none'; base-uri 'none'`,
  };
}

function page(title, organisation, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(title)}</title><style>${STYLE}</style></head><body><main>
<div class="org"><span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i></span>${escape(organisation)}</div>
${body}</main></body></html>`;
}

/** One text field, one box, one button; below it the people who may sign in, each with the device they are on. */
export function signInPage({ organisation, action, users, hint, error, wanted }) {
  const reason = wanted ? `<p class="note">The application asks for more: ${escape(wanted)}.</p>` : '';
  const people = users.map((user) => `<button class="user" name="user" value="${escape(user.upn)}"><span>${escape(user.display_name)}<small>${escape(user.upn)}</small></span>
<span class="device ${escape(user.device)}">${user.device === 'hybrid' ? 'hybrid joined' : escape(user.device)}</span></button>`).join('');
  return page('Sign in', organisation, `<h1>Sign in</h1>${error ? `<p class="error" role="alert">${escape(error)}</p>` : ''}${reason}
<form method="post" action="${escape(action)}">
<input type="text" name="login" aria-label="Sign-in name" placeholder="someone@contoso.example" value="${escape(hint)}" autofocus autocomplete="username">
<label class="box"><input type="checkbox" name="mfa" value="yes"> Approve the second factor (MFA)</label>
<button class="primary" type="submit">Sign in</button>
<fieldset><legend>Or pick a test user and the device in front of them</legend>${people}</fieldset></form>
<p class="note">An emulated identity provider for tests and demos: there are no passwords.</p>`);
}

/** oidc-provider's confirmation form, sent by itself once the applications' frames had their moment. */
export function signOutPage({ organisation, form, frames }) {
  const iframes = frames.map((address) => `<iframe hidden src="${escape(address)}"></iframe>`).join('');
  return page('Sign out', organisation, `<h1>Signing out…</h1>${form.replace('</form>', '<input type="hidden" name="logout" value="yes"><button class="primary">Sign out</button></form>')}
${iframes}<script>${LEAVE}</script>`);
}

export function messagePage({ organisation, title, message, code }) {
  return page(title, organisation, `<h1>${escape(title)}</h1><p>${escape(message)}</p>${code ? `<p class="note">Error code: <code>${escape(code)}</code></p>` : ''}`);
}
