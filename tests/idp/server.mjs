// An identity provider on loopback that speaks like Microsoft Entra ID: paths, metadata, claims, errors.
//
//   node server.mjs config.json     (or the same JSON in CASB_IDP_CONFIG)
//
// Configuration: {
//   key, cert            PEM files of the TLS listener
//   ca?                  PEM file trusted for back-channel logout
//   port?, control_port? 0 or absent: free ones
//   name?                host name in the issuer; default localhost
//   base?                the issuer's address as browsers know it, when something stands in front; default https://name:port
//   clients              [{id, secret?, certificate?, redirect_uris, post_logout_redirect_uris?, backchannel_logout_uri?, frontchannel_logout_uri?}]
//   tenants?             [{id, name, domain, users: [{name, display_name?, device?, groups?, …}]}]; see directory.mjs
//   follow_stdin?        true: end when standard input ends, so that nothing outlives its parent
// }
// Prints one line of JSON once it listens: {base, issuer, organizations, control, tenants, port}.

import { readFileSync } from 'node:fs';
import https from 'node:https';

import { body, controlServer } from './control.mjs';
import { Directory } from './directory.mjs';
import { Graph } from './graph.mjs';
import { Keys } from './keys.mjs';
import { messagePage } from './pages.mjs';
import { send, Tenant } from './provider.mjs';

const REMEMBERED = 5000;

function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

function json(res, status, value, headers = {}) {
  res.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers });
  res.end(JSON.stringify(value));
}

/** Answers wrongly when the control API said so. True: this request is dealt with. */
async function faulty(faults, req, res) {
  const fault = faults.find(({ path }) => path === '*' || req.url.split('?')[0].includes(path));
  if (!fault) return false;
  if (fault.delay) await new Promise((resolve) => setTimeout(resolve, fault.delay));
  if (fault.silent) return true;
  if (fault.bytes) {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    res.end('x'.repeat(fault.bytes));
    return true;
  }
  if (fault.status) {
    if (fault.retry_after) res.setHeader('Retry-After', String(fault.retry_after));
    json(res, fault.status, { error: 'temporarily_unavailable', error_description: 'AADSTS90033: A transient error has occurred.' });
    return true;
  }
  return false;
}

/** The few requests that oidc-provider would refuse and Entra takes. */
function entraRequest(inner) {
  const [path, query] = inner.split('?');
  if (!query || !path.endsWith('/authorize')) return inner;
  const params = new URLSearchParams(query);
  if (params.get('prompt') === 'select_account') params.set('prompt', 'login');
  if (params.has('claims')) {
    try {
      params.set('claims', JSON.stringify({ id_token: {}, ...JSON.parse(params.get('claims')) }));
    } catch {
      return inner; // Not JSON: oidc-provider says so in the right way.
    }
  }
  return `${path}?${params}`;
}

function handler(world) {
  return async (req, res) => {
    const path = req.url.split('?')[0];
    res.on('finish', () => {
      world.requests.push({ time: new Date().toISOString(), method: req.method, path, status: res.statusCode });
      if (world.requests.length > REMEMBERED) world.requests.shift();
    });
    if (await faulty(world.faults, req, res)) return undefined;
    const [, mount, ...rest] = path.split('/');
    if (!mount) return send(res, 200, messagePage({ organisation: 'Emulated Entra', title: 'It runs', message: 'Sign-ins start from an application.' }));
    if (mount === 'favicon.ico') return res.writeHead(204).end();
    if (mount === 'graph') {
      const [status, value, headers] = world.graph.answer(req.method, req.url, req.headers.authorization, await body(req));
      return json(res, status, value, headers);
    }
    const tenant = world.tenants.find((each) => each.mount === mount.toLowerCase());
    if (!tenant) {
      return json(res, 400, { error: 'invalid_tenant', error_description: `AADSTS90002: Tenant '${mount.slice(0, 64)}' not found.`, error_codes: [90002] });
    }
    const inner = `/${rest.join('/')}`;
    const open = { 'Access-Control-Allow-Origin': '*', 'Cache-Control': 'max-age=86400, private' };
    if (req.method === 'GET' && inner === '/v2.0/.well-known/openid-configuration') return json(res, 200, tenant.metadata(), open);
    if (req.method === 'GET' && inner === '/discovery/v2.0/keys') return json(res, 200, world.keys.jwks(tenant.issuer), open);
    if (/^\/signin\/[\w-]+$/.test(inner)) {
      return tenant.signIn(req, res, req.method === 'POST' ? Object.fromEntries(new URLSearchParams(await body(req))) : undefined);
    }
    if (!inner.startsWith('/oauth2/v2.0/')) return json(res, 404, { error: 'not_found' });
    if (req.method === 'POST' && inner === '/oauth2/v2.0/token') {
      const text = await body(req);
      const form = new URLSearchParams(text);
      if (form.get('grant_type') === 'client_credentials') return json(res, ...world.graph.token(form));
      req.body = text; // oidc-provider takes it from here when it cannot read it itself.
    }
    req.url = entraRequest(req.url.slice(mount.length + 1));
    req.originalUrl = `/${tenant.mount}${req.url}`;
    req.headers.host = new URL(tenant.base).host;
    return tenant.callback(req, res);
  };
}

async function main() {
  const settings = JSON.parse(process.env.CASB_IDP_CONFIG ?? readFileSync(process.argv[2], 'utf8'));
  const world = {
    directory: new Directory(settings.tenants), keys: new Keys(), tenants: [], faults: [], requests: [], automatic: { user: null, mfa: false },
  };
  world.graph = new Graph(world.directory, settings.clients);
  const serve = handler(world);
  const server = https.createServer({ key: readFileSync(settings.key), cert: readFileSync(settings.cert) }, (req, res) => {
    Promise.resolve(serve(req, res)).catch((error) => {
      process.stderr.write(`idp error=${error.stack}\n`);
      if (!res.headersSent) json(res, 500, { error: 'server_error' });
    });
  });
  const port = await listen(server, settings.port ?? 0);
  const base = settings.base ?? `https://${settings.name ?? 'localhost'}:${port}`;
  const ca = settings.ca && readFileSync(settings.ca);
  for (const tenant of [...world.directory.tenants, null]) {
    world.tenants.push(new Tenant({ base, mount: tenant?.id ?? 'organizations', tenant, ca, clients: settings.clients, ...world }));
  }
  const control = await listen(controlServer(world), settings.control_port ?? 0);
  if (settings.follow_stdin) process.stdin.resume().on('end', () => process.exit(0));
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
  process.stdout.write(`${JSON.stringify({
    base,
    issuer: world.tenants[0].issuer,
    organizations: `${base}/organizations/v2.0`,
    control: `http://127.0.0.1:${control}`,
    tenants: world.directory.tenants,
    port,
  })}\n`);
}

await main();
