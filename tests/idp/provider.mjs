// One oidc-provider per tenant (and one for `/organizations`), bent into the shape of Entra's v2.0 endpoints.
//
// oidc-provider keeps the protocol: PKCE, client authentication, codes, browser sessions, logout. Ours are the token
// contents, the keys, the sign-in page and the rules for authentication contexts.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';

import { errors, interactionPolicy, Provider } from 'oidc-provider';

import { claimsOf, CONTEXTS, contextsOf, guidOf } from './directory.mjs';
import { messagePage, pageHeaders, signInPage, signOutPage } from './pages.mjs';
import { Store } from './store.mjs';

const SCOPES = ['openid', 'profile', 'email', 'offline_access', 'User.Read'];
const CLAIMS = ['acrs', 'auth_time', 'email', 'groups', 'name', 'oid', 'preferred_username', 'sid', 'sub', 'tid', 'xms_cc'];
const HOURS = 3600;

/** Contexts that the request's `claims` call essential, under id_token or access_token as Microsoft's examples do. */
function essentialContexts(claims) {
  let wanted;
  try {
    wanted = typeof claims === 'string' ? JSON.parse(claims) : (claims ?? {});
  } catch {
    return [];
  }
  return [wanted.id_token?.acrs, wanted.access_token?.acrs]
    .filter((request) => request?.essential)
    .flatMap((request) => request.values ?? request.value ?? [])
    .flat();
}

function missingContexts(user, mfa, claims) {
  const wanted = essentialContexts(claims);
  const held = contextsOf(user, mfa, wanted);
  return wanted.filter((context) => !held.includes(context));
}

/** Client metadata as oidc-provider wants it. Entra takes secret and certificate from the same client, in any request. */
function clientMetadata(client) {
  const assertion = Boolean(Provider.ctx?.oidc?.body?.client_assertion);
  const certificate = client.certificate && new X509Certificate(readFileSync(client.certificate));
  const metadata = {
    client_id: client.id,
    redirect_uris: client.redirect_uris,
    post_logout_redirect_uris: client.post_logout_redirect_uris ?? [],
    response_types: ['code'],
    grant_types: ['authorization_code'],
    token_endpoint_auth_method: assertion && certificate ? 'private_key_jwt' : 'client_secret_post',
    ...(client.secret ? { client_secret: client.secret } : {}),
    ...(certificate ? { jwks: { keys: [{ ...certificate.publicKey.export({ format: 'jwk' }), use: 'sig' }] } } : {}),
    ...(client.backchannel_logout_uri
      ? { backchannel_logout_uri: client.backchannel_logout_uri, backchannel_logout_session_required: true }
      : {}),
  };
  if (!client.secret) metadata.token_endpoint_auth_method = 'private_key_jwt';
  return metadata;
}

/** A POST for back-channel logout that trusts the caller's authority and finds `*.localhost` on loopback. */
function post(ca) {
  return (url, { headers, body }) => new Promise((resolve, reject) => {
    const { hostname, port, pathname, search } = new URL(url);
    const loopback = hostname === 'localhost' || hostname.endsWith('.localhost');
    const request = https.request({
      host: loopback ? '127.0.0.1' : hostname,
      servername: hostname,
      port: port || 443,
      path: pathname + search,
      method: 'POST',
      headers: { ...Object.fromEntries(headers), host: port ? `${hostname}:${port}` : hostname },
      ca,
      timeout: 2500,
    }, (response) => {
      response.resume();
      resolve({ status: response.statusCode });
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', reject);
    request.end(String(body));
  });
}

export class Tenant {
  /** `tenant` is null for `/organizations`, where the user's own tenant issues the token. */
  constructor({ base, mount, tenant, directory, keys, clients, ca, automatic }) {
    Object.assign(this, { base, mount, tenant, directory, keys, clients, automatic });
    this.issuer = `${base}/${tenant ? tenant.id : '{tenantid}'}/v2.0`;
    this.organisation = tenant?.name ?? 'Work or school account';
    this.store = new Store((id) => {
      const client = clients.find((each) => each.id === id);
      return client && clientMetadata(client);
    });
    this.provider = new Provider(`${base}/${mount}/v2.0`, this.configuration(ca));
    this.provider.on('server_error', (_, error) => process.stderr.write(`idp error=${error.stack}\n`));
    this.shapeTokens();
    this.shapeResponses();
    this.callback = this.provider.callback();
  }

  configuration(ca) {
    const policy = interactionPolicy.base();
    policy.remove('consent');
    policy.get('login').checks.add(new interactionPolicy.Check(
      'account_unusable', 'the signed-in account can no longer be used', 'login_required',
      (ctx) => Boolean(ctx.oidc.session.accountId && !ctx.oidc.account),
    ));
    policy.get('login').checks.add(new interactionPolicy.Check(
      'essential_contexts', 'the requested authentication contexts are not satisfied', 'interaction_required',
      (ctx) => {
        const user = ctx.oidc.account && this.directory.find(ctx.oidc.account.accountId);
        return Boolean(user && missingContexts(user, ctx.oidc.session.acr === 'mfa', ctx.oidc.params.claims).length);
      },
    ));
    const cookie = { httpOnly: true, sameSite: 'lax', signed: false, path: '/' };
    return {
      adapter: this.store.adapter,
      jwks: this.keys.asJwks(),
      scopes: SCOPES,
      claims: { openid: CLAIMS, profile: [], email: [] },
      conformIdTokenClaims: false,
      // As Entra for the redirect addresses of a single-page application.
      clientBasedCORS: (ctx, origin, client) => client.redirectUris.some((each) => new URL(each).origin === origin),
      clientAuthMethods: ['client_secret_post', 'client_secret_basic', 'private_key_jwt'],
      cookies: {
        names: { session: `ESTSAUTH-${this.mount.slice(0, 8)}`, interaction: `sign-${this.mount.slice(0, 8)}`, resume: `resume-${this.mount.slice(0, 8)}` },
        long: cookie,
        short: { httpOnly: true, sameSite: 'lax', signed: false },
      },
      features: {
        devInteractions: { enabled: false },
        claimsParameter: { enabled: true },
        userinfo: { enabled: false },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: {
          enabled: true,
          logoutSource: (ctx, form) => this.renderSignOut(ctx, form),
          postLogoutSuccessSource: (ctx) => this.render(ctx, messagePage({ organisation: this.organisation, title: 'You signed out', message: 'You can close this window.' })),
        },
      },
      fetch: post(ca),
      findAccount: (_, id) => {
        const user = this.directory.find(id);
        return user && !user.disabled ? { accountId: user.oid, claims: () => ({ sub: user.oid }) } : undefined;
      },
      interactions: { policy, url: (_, interaction) => `/${this.mount}/signin/${interaction.uid}` },
      loadExistingGrant: async (ctx) => {
        const { session, client, provider } = ctx.oidc;
        const known = session.grantIdFor(client.clientId);
        const existing = known && (await provider.Grant.find(known));
        if (existing && existing.accountId === session.accountId) return existing;
        const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
        grant.addOIDCScope(SCOPES.join(' '));
        grant.addOIDCClaims(CLAIMS);
        await grant.save();
        return grant;
      },
      pkce: { required: () => true },
      renderError: (ctx, out) => this.render(ctx, messagePage({
        organisation: this.organisation,
        title: 'Sorry, but we’re having trouble signing you in',
        message: out.error_description ?? out.error,
        code: out.error,
      })),
      routes: { authorization: '/oauth2/v2.0/authorize', token: '/oauth2/v2.0/token', end_session: '/oauth2/v2.0/logout', jwks: '/discovery/v2.0/keys' },
      ttl: { AccessToken: HOURS, AuthorizationCode: 300, IdToken: HOURS, Interaction: HOURS, Session: 24 * HOURS, Grant: 24 * HOURS },
    };
  }

  /** Replaces how tokens are filled and signed, and how hints are checked. */
  shapeTokens() {
    const tenant = this;
    const { IdToken, Session, Client } = this.provider;
    Client.prototype.includeSid = () => true;
    Session.prototype.ensureClientContainer = function ensure(clientId) {
      if (!this.sidFor(clientId)) this.sidFor(clientId, guidOf('sid', this.uid));
    };
    IdToken.prototype.issue = async function issue({ use }) {
      const now = Math.floor(Date.now() / 1000);
      const user = tenant.directory.find(this.available.sub);
      const common = { aud: this.client.clientId, iss: `${tenant.base}/${user.tid}/v2.0`, iat: now };
      if (use === 'logout') {
        const { sub } = claimsOf(user, { clientId: this.client.clientId });
        const { events, jti, sid } = this.extra;
        return tenant.keys.sign({ ...common, exp: now + 120, sub, sid, jti, events }, 'logout+jwt');
      }
      const source = this.ctx.oidc.authorizationCode;
      const claims = claimsOf(user, {
        clientId: this.client.clientId,
        mfa: this.available.acr === 'mfa',
        requested: essentialContexts(source.claims),
        sid: this.extra.sid,
        authTime: source.claims?.id_token?.auth_time ? this.available.auth_time : undefined,
      });
      const { nonce } = this.extra;
      return tenant.keys.sign({ ...common, nbf: now, exp: now + HOURS, ...(nonce ? { nonce } : {}), ...claims });
    };
    IdToken.validate = async (token, client) => {
      const verified = tenant.keys.verify(token);
      if (verified.payload.aud !== client.clientId) throw new Error('issued to another client');
      return { ...verified, payload: { ...verified.payload, sub: verified.payload.oid } };
    };
  }

  /** `client_info` beside the token, and no `iss` parameter on responses, as Entra has it. */
  shapeResponses() {
    this.provider.use(async (ctx, next) => {
      await next();
      if (ctx.body?.id_token) {
        const user = this.directory.find(ctx.oidc.entities.Account.accountId);
        ctx.body = { ...ctx.body, client_info: Buffer.from(JSON.stringify({ uid: user.oid, utid: user.tid })).toString('base64url') };
      }
      if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/<input type="hidden" name="iss"[^>]*>/, '');
      const location = ctx.response.get('Location');
      if (location?.includes('iss=')) {
        ctx.set('Location', location.replace(/([?&])iss=[^&#]*(&|(?=#|$))/, (_, lead, tail) => (tail ? lead : '')));
      }
    });
  }

  render(ctx, body, frames) {
    ctx.set(pageHeaders(frames));
    ctx.body = body;
  }

  renderSignOut(ctx, form) {
    const authorizations = ctx.oidc.session.authorizations ?? {};
    const frames = this.clients
      .filter(({ id, frontchannel_logout_uri: uri }) => uri && authorizations[id])
      // Entra sends the sid alone, without the iss that the standard wants.
      .map(({ id, frontchannel_logout_uri: uri }) => `${uri}${uri.includes('?') ? '&' : '?'}sid=${authorizations[id].sid}`);
    const sources = frames.length ? frames.map((address) => new URL(address).origin).join(' ') : undefined;
    this.render(ctx, signOutPage({ organisation: this.organisation, form, frames }), sources);
  }

  metadata() {
    const at = `${this.base}/${this.mount}`;
    return {
      token_endpoint: `${at}/oauth2/v2.0/token`,
      token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
      jwks_uri: `${at}/discovery/v2.0/keys`,
      response_modes_supported: ['query', 'fragment', 'form_post'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
      response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
      scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
      issuer: this.issuer,
      request_uri_parameter_supported: false,
      userinfo_endpoint: 'https://graph.invalid/oidc/userinfo',
      authorization_endpoint: `${at}/oauth2/v2.0/authorize`,
      http_logout_supported: true,
      frontchannel_logout_supported: true,
      end_session_endpoint: `${at}/oauth2/v2.0/logout`,
      claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'nonce', 'preferred_username', 'name', 'tid', 'ver'],
      tenant_region_scope: 'EU',
    };
  }

  /** The sign-in page: shows it on GET, takes the answer on POST. */
  async signIn(req, res, form) {
    let details;
    try {
      details = await this.provider.interactionDetails(req, res);
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error;
      return send(res, 400, messagePage({ organisation: this.organisation, title: 'This sign-in has ended', message: 'Start again from the application.', code: 'AADSTS165000' }));
    }
    const answer = form ?? (this.automatic.user ? { user: this.automatic.user, mfa: this.automatic.mfa ? 'yes' : '' } : undefined);
    const { params } = details;
    const users = this.tenant ? this.directory.in(this.tenant.id) : this.directory.users;
    const wanted = essentialContexts(params.claims).filter((id) => CONTEXTS[id]).map((id) => CONTEXTS[id].needs).join(', ');
    const show = (error) => send(res, error ? 400 : 200, signInPage({
      organisation: this.organisation, action: `/${this.mount}/signin/${details.uid}`, users, hint: answer?.login || params.login_hint || '', error, wanted,
    }));
    if (!answer) return show();
    const user = this.directory.find(answer.user || answer.login);
    if (!user) return show('AADSTS50034: That account does not exist in this organisation.');
    if (this.tenant && user.tid !== this.tenant.id) return show('AADSTS50020: That account belongs to another organisation.');
    if (user.disabled) return show('AADSTS50057: The user account is disabled.');
    const mfa = answer.mfa === 'yes';
    const missing = missingContexts(user, mfa, params.claims);
    if (missing.some((id) => CONTEXTS[id]?.mfa)) return show('AADSTS50076: You must approve the second factor to go on.');
    if (missing.length) {
      const needs = missing.map((id) => CONTEXTS[id].needs).join(', ');
      return this.provider.interactionFinished(req, res, { error: 'access_denied', error_description: `AADSTS53000: This needs ${needs}.` }, { mergeWithLastSubmission: false });
    }
    return this.provider.interactionFinished(req, res, { login: { accountId: user.oid, acr: mfa ? 'mfa' : 'pwd', remember: true } }, { mergeWithLastSubmission: false });
  }

  /** Ends every browser session of a user; applications with a back-channel address are told. Gives how many ended. */
  async revoke(oid) {
    const sessions = this.store.of('Session');
    let ended = 0;
    for (const [id, { payload }] of [...sessions]) {
      if (payload.accountId !== oid) continue;
      sessions.delete(id);
      ended += 1;
      for (const [clientId, { sid, grantId }] of Object.entries(payload.authorizations ?? {})) {
        const client = await this.provider.Client.find(clientId);
        if (grantId) await this.provider.Client.adapter.revokeByGrantId(grantId);
        if (client?.backchannelLogoutUri) await client.backchannelLogout(oid, sid).catch((error) => process.stderr.write(`idp backchannel=${error.message}\n`));
      }
    }
    return ended;
  }
}

export function send(res, status, html) {
  res.writeHead(status, pageHeaders());
  res.end(html);
}
