// The control API: what a test (or the demo) does to the identity provider while it runs. Loopback, JSON in and out.
//
//   GET    /state                 tenants, users, key ids, faults
//   GET    /requests              what was asked: time, method, path, status; DELETE forgets it
//   POST   /users/<name or oid>   any of device, disabled, groups, acrs, groups_overage (true or 'hasgroups'), display_name,
//                                 deleted, revoked, device_disabled
//   POST   /graph                 {policies?, nested?}: what Graph lists; GET: bodies of checkMemberGroups
//   POST   /users                 {tenant, name, …}: one more user
//   POST   /keys/rotate           {drop?}: a new key signs; with drop the old ones are published no longer
//   POST   /faults                {path, status?, retry_after?, delay?, bytes?, silent?}: answers to paths that contain it go wrong
//   DELETE /faults                all is well again
//   POST   /sessions/revoke       {user}: ends the user's sessions, fires back-channel logout
//   POST   /automatic             {user, mfa?}: the next sign-ins need no page; {user: null} stops that

import http from 'node:http';

import { DEVICE_STATES } from './directory.mjs';

const CHANGEABLE = ['device', 'disabled', 'groups', 'acrs', 'groups_overage', 'display_name', 'deleted', 'revoked', 'device_disabled'];

export async function body(req, limit = 1 << 20) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > limit) throw new Error('too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function controlServer(world) {
  return http.createServer(async (req, res) => {
    const answer = (status, value) => {
      res.writeHead(status, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify(value));
    };
    try {
      // A page in the browser of the same machine must not steer us: no Origin, and never a foreign Host.
      if (req.headers.origin || !/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(req.headers.host ?? '')) return answer(403, { error: 'not from a browser' });
      const text = await body(req);
      return answer(...await act(world, req.method, new URL(req.url, 'http://control').pathname, text ? JSON.parse(text) : {}));
    } catch (error) {
      return answer(400, { error: error.message });
    }
  });
}

async function act({ directory, keys, tenants, faults, requests, automatic, graph }, method, path, wanted) {
  const [, what, which] = path.split('/').map(decodeURIComponent);
  switch (`${method} /${what}`) {
    case 'GET /state':
      return [200, { tenants: directory.tenants, users: directory.users, kids: keys.pairs.map(({ kid }) => kid), faults }];
    case 'GET /requests':
      return [200, requests];
    case 'DELETE /requests':
      requests.length = 0;
      return [200, {}];
    case 'POST /users': {
      if (wanted.device && !DEVICE_STATES.includes(wanted.device)) return [400, { error: `device is one of ${DEVICE_STATES}` }];
      if (!which) return [200, directory.add(wanted.tenant, wanted)];
      const user = directory.find(which);
      if (!user) return [404, { error: 'no such user' }];
      const unknown = Object.keys(wanted).filter((name) => !CHANGEABLE.includes(name));
      if (unknown.length) return [400, { error: `cannot change ${unknown}` }];
      return [200, Object.assign(user, wanted)];
    }
    case 'GET /graph':
      return [200, graph.bodies];
    case 'POST /graph':
      Object.assign(graph, wanted);
      graph.bodies.length = 0;
      return [200, {}];
    case 'POST /keys':
      return [200, { kid: keys.rotate(wanted) }];
    case 'POST /faults':
      faults.push(wanted);
      return [200, faults];
    case 'DELETE /faults':
      faults.length = 0;
      return [200, faults];
    case 'POST /sessions': {
      const user = directory.find(wanted.user);
      if (!user) return [404, { error: 'no such user' }];
      const ended = await Promise.all(tenants.map((tenant) => tenant.revoke(user.oid)));
      return [200, { ended: ended.reduce((sum, each) => sum + each, 0) }];
    }
    case 'POST /automatic':
      Object.assign(automatic, { user: wanted.user ?? null, mfa: Boolean(wanted.mfa) });
      return [200, automatic];
    default:
      return [404, { error: 'no such thing' }];
  }
}
