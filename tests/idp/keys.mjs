// Signing keys: shared by all tenants as Entra's are, rotated by the control API, RS256 only.

import { createHash, createPrivateKey, generateKeyPairSync, sign, verify } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));

export class Keys {
  constructor() {
    this.pairs = [];
    this.rotate();
  }

  /** A new key signs from now on; the old ones stay published until dropped. */
  rotate({ drop = false } = {}) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n, e } = publicKey.export({ format: 'jwk' });
    const kid = createHash('sha256').update(n).digest('base64url').slice(0, 27);
    this.pairs = [{ kid, privateKey, publicKey, jwk: { kty: 'RSA', use: 'sig', kid, n, e } }, ...(drop ? [] : this.pairs)];
    return kid;
  }

  /** The set as published. Entra names the issuer of each key and no `alg`. */
  jwks(issuer) {
    return { keys: this.pairs.map(({ jwk }) => ({ ...jwk, issuer })) };
  }

  sign(payload, type = 'JWT') {
    const { kid, privateKey } = this.pairs[0];
    const head = `${encode({ typ: type, alg: 'RS256', kid })}.${encode(payload)}`;
    return `${head}.${sign('sha256', Buffer.from(head), privateKey).toString('base64url')}`;
  }

  /** Header and payload of a token that one of our keys has signed; throws otherwise. */
  verify(token) {
    const [head, payload, signature] = String(token).split('.');
    const header = decode(head);
    const pair = this.pairs.find(({ kid }) => kid === header.kid);
    const signed = pair && verify('sha256', Buffer.from(`${head}.${payload}`), pair.publicKey, Buffer.from(signature ?? '', 'base64url'));
    if (!signed) throw new Error('not signed by this identity provider');
    return { header, payload: decode(payload) };
  }

  /** The key set that oidc-provider wants to be given; it never signs with it (see provider.mjs). */
  asJwks() {
    return { keys: [{ ...createPrivateKey(this.pairs[0].privateKey.export({ format: 'pem', type: 'pkcs8' })).export({ format: 'jwk' }), use: 'sig' }] };
  }
}
