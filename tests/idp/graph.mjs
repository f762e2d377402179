// A little of Microsoft Graph v1.0, over the same directory: memberships, users, devices, Conditional Access policies.
//
// Under `<base>/graph`. The token is the client-credentials one that `token` gives to a registered client with its
// secret; memberships are transitive over `nested` (group to the groups it is in).

import { randomUUID, timingSafeEqual } from 'node:crypto';

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MOST = 20;

const guard = (id, context, control) => ({
  id,
  displayName: `Guards ${context}`,
  state: 'enabled',
  conditions: {
    users: { includeUsers: ['All'], excludeUsers: [], includeGroups: [], excludeGroups: [] },
    applications: { includeApplications: [], includeAuthenticationContextClassReferences: [context] },
    clientAppTypes: ['all'],
    platforms: null,
    locations: null,
  },
  grantControls: { operator: 'OR', builtInControls: [control], customAuthenticationFactors: [], termsOfUse: [] },
});

export const POLICIES = [
  guard('00000000-0000-4000-8000-0000000000c1', 'c1', 'compliantDevice'),
  guard('00000000-0000-4000-8000-0000000000c2', 'c2', 'domainJoinedDevice'),
  guard('00000000-0000-4000-8000-0000000000c3', 'c3', 'mfa'),
];

function same(one, other) {
  const [left, right] = [Buffer.from(String(one ?? '')), Buffer.from(String(other ?? ''))];
  return left.length === right.length && left.length > 0 && timingSafeEqual(left, right);
}

export class Graph {
  constructor(directory, clients) {
    Object.assign(this, { directory, clients, tokens: new Set(), policies: POLICIES, nested: {}, bodies: [] });
  }

  /** The answer to a client-credentials request. */
  token(form) {
    const client = this.clients.find(({ id }) => id === form.get('client_id'));
    if (!client?.secret || !same(client.secret, form.get('client_secret'))) {
      return [401, { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret provided.' }];
    }
    if (!/\/\.default$/.test(form.get('scope') ?? '')) return [400, { error: 'invalid_scope', error_description: 'AADSTS70011: The scope is not valid.' }];
    const token = randomUUID();
    this.tokens.add(token);
    return [200, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: token }];
  }

  groupsOf(user) {
    const found = new Set();
    const follow = (id) => {
      if (!found.has(id)) {
        found.add(id);
        (this.nested[id] ?? []).forEach(follow);
      }
    };
    user.groups.forEach(follow);
    return found;
  }

  /** [status, value, headers] for a request below `/graph`. */
  answer(method, url, authorization, text) {
    const { pathname, searchParams } = new URL(url, 'https://graph');
    if (!this.tokens.has(/^Bearer (.+)$/.exec(authorization ?? '')?.[1])) return failed(401, 'InvalidAuthenticationToken', 'Access token is empty.');
    const [, , version, what, which, action] = pathname.split('/').map(decodeURIComponent);
    if (version !== 'v1.0') return failed(400, 'BadRequest', 'Invalid version.');
    if (what === 'users' && GUID.test(which ?? '')) return this.user(method, which, action, text);
    if (method === 'GET' && what === 'devices') return this.devices(searchParams.get('$filter') ?? '');
    if (method === 'GET' && pathname.endsWith('/identity/conditionalAccess/policies')) return [200, { value: this.policies }];
    return failed(404, 'Request_ResourceNotFound', 'Resource not found.');
  }

  user(method, oid, action, text) {
    const user = this.directory.find(oid);
    if (!user || user.deleted) return failed(404, 'Request_ResourceNotFound', `Resource '${oid}' does not exist.`);
    if (user.revoked) {
      const challenge = Buffer.from('{"access_token":{"nbf":{"essential":true,"value":"1"}}}').toString('base64');
      return [401, {}, { 'WWW-Authenticate': `Bearer realm="", error="insufficient_claims", claims="${challenge}"` }];
    }
    if (method === 'GET' && !action) {
      return [200, { id: user.oid, accountEnabled: !user.disabled, signInSessionsValidFromDateTime: '2020-01-01T00:00:00Z' }];
    }
    const wanted = method === 'POST' ? JSON.parse(text || '{}') : {};
    if (action === 'checkMemberGroups') {
      this.bodies.push(wanted);
      const { groupIds } = wanted;
      if (!Array.isArray(groupIds) || groupIds.length > MOST || !groupIds.every((id) => GUID.test(id))) {
        return failed(400, 'Request_BadRequest', 'Invalid groupIds.');
      }
      const mine = this.groupsOf(user);
      return [200, { value: groupIds.filter((id) => mine.has(id)) }];
    }
    if (action === 'getMemberObjects') return [200, { value: [...this.groupsOf(user)] }];
    return failed(404, 'Request_ResourceNotFound', 'Resource not found.');
  }

  devices(filter) {
    const id = /^deviceId eq '([0-9a-f-]{36})'$/.exec(filter)?.[1];
    if (!id) return failed(400, 'Request_UnsupportedQuery', 'Unsupported filter.');
    const found = this.directory.users.filter((user) => user.device_id === id).map((user) => ({
      deviceId: id,
      accountEnabled: !user.device_disabled,
      isCompliant: user.device === 'compliant',
      isManaged: user.device !== 'unmanaged',
      trustType: user.device === 'hybrid' ? 'ServerAd' : 'Workplace',
    }));
    return [200, { value: found.slice(0, 1) }];
  }
}

function failed(status, code, message) {
  return [status, { error: { code, message } }];
}
