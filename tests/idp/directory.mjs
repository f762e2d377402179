// Tenants, users and what their devices have proven. Plain data; the control API changes it while the server runs.

import { createHash, randomUUID } from 'node:crypto';

/** Authentication contexts that a (pretended) Conditional Access policy guards, and what satisfies each. */
export const CONTEXTS = {
  c1: { needs: 'a compliant device', satisfied: (user) => user.device === 'compliant' },
  c2: { needs: 'a hybrid joined device', satisfied: (user) => user.device === 'hybrid' },
  c3: { needs: 'multifactor authentication', satisfied: (user, mfa) => mfa, mfa: true },
};

export const DEVICE_STATES = ['compliant', 'hybrid', 'unmanaged'];

export const CONTOSO = 'a3f2c1d0-5b7e-4c9a-8d21-0c0a7e57c0de';
export const FABRIKAM = 'b7d9e4a2-1c38-4f60-9e55-fab21ca00001';

const FINANCE = '5a1e0c1e-0000-4000-8000-00000000f1a0';
const STAFF = '5a1e0c1e-0000-4000-8000-0000000057af';
const ADMINS = '5a1e0c1e-0000-4000-8000-00000000ad31';

/** What the demo and the tests start with when the caller names no tenants of its own. */
export const DEFAULT_TENANTS = [
  {
    id: CONTOSO,
    name: 'Contoso',
    domain: 'contoso.example',
    users: [
      { name: 'ada', display_name: 'Ada Abel', device: 'compliant', groups: [STAFF, FINANCE] },
      { name: 'ben', display_name: 'Ben Brandt', device: 'unmanaged', groups: [STAFF] },
      { name: 'cleo', display_name: 'Cleo Costa', device: 'hybrid', groups: [STAFF] },
      { name: 'dan', display_name: 'Dan Dorn', device: 'unmanaged', groups: [STAFF, FINANCE] },
      { name: 'admin', display_name: 'Alex Admin', device: 'compliant', groups: [STAFF, ADMINS] },
    ],
  },
  {
    id: FABRIKAM,
    name: 'Fabrikam',
    domain: 'fabrikam.example',
    users: [{ name: 'finn', display_name: 'Finn Falk', device: 'compliant', groups: [] }],
  },
];

/** A GUID that is the same for the same words, so that tests and logs can name it. */
export function guidOf(...words) {
  const hex = createHash('sha256').update(words.join('|')).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}

export class Directory {
  constructor(tenants = DEFAULT_TENANTS) {
    this.tenants = tenants.map(({ users, ...tenant }) => ({ ...tenant }));
    this.users = tenants.flatMap((tenant) => tenant.users.map((user) => completed(user, tenant)));
  }

  /** The user with this object id or sign-in name, or undefined. */
  find(nameOrId) {
    const wanted = String(nameOrId ?? '').trim().toLowerCase();
    return this.users.find((user) => user.oid === wanted || user.upn === wanted);
  }

  in(tenantId) {
    return this.users.filter((user) => user.tid === tenantId);
  }

  add(tenantId, user) {
    const tenant = this.tenants.find(({ id }) => id === tenantId) ?? this.tenants[0];
    const made = completed(user, tenant);
    this.users = [...this.users.filter(({ oid }) => oid !== made.oid), made];
    return made;
  }
}

function completed(user, tenant) {
  const upn = (user.upn ?? `${user.name}@${tenant.domain}`).toLowerCase();
  const device = user.device ?? 'unmanaged';
  return {
    device_id: guidOf('device', upn),
    groups: [],
    acrs: [],
    disabled: false,
    groups_overage: false,
    ...user,
    device,
    upn,
    oid: user.oid ?? guidOf('user', upn),
    tid: tenant.id,
    display_name: user.display_name ?? upn,
  };
}

/** The contexts the bearer satisfies: those of the device and of MFA, those granted, and those nobody guards. */
export function contextsOf(user, mfa, requested = []) {
  const guarded = Object.keys(CONTEXTS).filter((id) => CONTEXTS[id].satisfied(user, mfa));
  // Entra issues a requested context that no policy targets; a relying party must know that trap.
  const unguarded = requested.filter((id) => !(id in CONTEXTS));
  return [...new Set([...guarded, ...user.acrs, ...unguarded])].sort();
}

/** Claims of a v2.0 ID token, without what the protocol adds (iss, aud, iat, exp, nonce). */
export function claimsOf(user, { clientId, mfa, requested, sid, authTime }) {
  const claims = {
    name: user.display_name,
    oid: user.oid,
    preferred_username: user.upn,
    rh: '0.',
    sid,
    sub: createHash('sha256').update(`${user.oid}|${clientId}`).digest('base64url'), // Entra's sub is pairwise.
    tid: user.tid,
    uti: randomUUID().replaceAll('-', '').slice(0, 22),
    ver: '2.0',
  };
  if (authTime) claims.auth_time = authTime;
  const acrs = contextsOf(user, mfa, requested);
  if (acrs.length) claims.acrs = acrs;
  if (user.device !== 'unmanaged') claims.deviceid = user.device_id;
  if (user.groups_overage === 'hasgroups') {
    claims.hasgroups = true;
  } else if (user.groups_overage) {
    claims._claim_names = { groups: 'src1' };
    claims._claim_sources = { src1: { endpoint: `https://graph.invalid/${user.tid}/users/${user.oid}/getMemberObjects` } };
  } else if (user.groups.length) {
    claims.groups = user.groups;
  }
  return claims;
}
