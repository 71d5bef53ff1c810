// A certified OpenID provider (npm oidc-provider) on loopback, for tests. Never for production.
//
//   GATEPOST_TOOLS=/opt/gatepost-tools node provider.mjs [--port N] [--client ID=GROUP,GROUP]... [--person NAME=GROUP,GROUP]... [--redirect URL]...
//
// Prints one line when it is ready: {"ready":true,"port":N,"issuer":"http://127.0.0.1:N"}. Ends when its stdin does.
//
// Clients (secret "secret") get tokens by client_credentials, with `groups`. The `resource` parameter chooses the token:
//   https://gatepost.test/es256 (the default), https://gatepost.test/rs256: audience "gatepost", signed so
//   https://gatepost.test/opaque: audience "gatepost", and only the provider can read it (POST /token/introspection)
//   anything else: that is the audience, signed with ES256
//   ?ttl=SECONDS after any of them: its lifetime (default 300)
//
// --person NAME=GROUP,GROUP may log in with a browser as the public client `console` (authorization code, PKCE), back to --redirect URL; ID
// tokens have `groups`. The log-in is a form that asks for a name alone. With --secret TEXT `console` is a confidential client, which shows it
// by --auth METHOD (client_secret_basic, client_secret_post): no other is taken then.
//
// Beside the provider's own paths:
//   POST /admin/rotate  new keys with new ids (es256-1 -> es256-2, ...), the old ones gone; answers {"generation":N}
//   GET  /admin/counts  how often discovery and keys were fetched: {"discovery":N,"jwks":N}

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const tools = process.env.GATEPOST_TOOLS ?? '/opt/gatepost-tools';
const require = createRequire(path.join(tools, 'oidc-provider', 'package.json'));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const DEFAULT_CLIENTS = ['support-agent=support-agents', 'analyst=analysts,readers', 'nobody='];
const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' }, client: { type: 'string', multiple: true, default: DEFAULT_CLIENTS },
    person: { type: 'string', multiple: true, default: [] }, redirect: { type: 'string', multiple: true, default: [] },
    secret: { type: 'string' }, auth: { type: 'string', default: 'client_secret_basic' },
  },
});
const named = (list) => new Map(list.map((text) => {
  const [id, all = ''] = text.split('=');
  return [id, all.split(',').filter(Boolean)];
}));
const groups = named(options.client);
const people = named(options.person);

const counts = { discovery: 0, jwks: 0 };
let generation = 0;
let issuer;
let provider;
let callback;

function privateJwk(type, keyOptions, alg) {
  const { privateKey } = generateKeyPairSync(type, keyOptions);
  return { ...privateKey.export({ format: 'jwk' }), kid: `${alg.toLowerCase()}-${generation}`, alg, use: 'sig' };
}

function resourceServer(resource) {
  const url = new URL(resource);
  const ttl = Number(url.searchParams.get('ttl') ?? 300);
  url.search = '';
  const opaque = url.href === 'https://gatepost.test/opaque';
  const alg = { 'https://gatepost.test/es256': 'ES256', 'https://gatepost.test/rs256': 'RS256' }[url.href];
  return {
    scope: 'query',
    audience: alg || opaque ? 'gatepost' : url.href,
    accessTokenTTL: ttl,
    accessTokenFormat: opaque ? 'opaque' : 'jwt',
    jwt: { sign: { alg: alg ?? 'ES256' } },
  };
}

function rotate() {
  generation += 1;
  provider = new Provider(issuer, {
    jwks: { keys: [privateJwk('ec', { namedCurve: 'P-256' }, 'ES256'), privateJwk('rsa', { modulusLength: 2048 }, 'RS256')] },
    clients: [...groups.keys()].map((id) => ({
      client_id: id,
      client_secret: 'secret',
      ...(options.secret ? { token_endpoint_auth_method: options.auth } : {}),
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })).concat(options.redirect.length ? [{
      client_id: 'console',
      ...(options.secret ? { client_secret: options.secret, token_endpoint_auth_method: options.auth } : { token_endpoint_auth_method: 'none' }),
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: options.redirect,
      id_token_signed_response_alg: 'ES256',
    }] : []),
    claims: { openid: ['sub', 'groups'], profile: ['name'] },
    conformIdTokenClaims: false,
    ...(options.secret ? { clientAuthMethods: [options.auth] } : {}),
    pkce: { required: () => true },
    findAccount: (_ctx, id) => people.has(id) && { accountId: id, claims: () => ({ sub: id, groups: people.get(id) }) },
    // Whoever logs in has agreed: there is but one client.
    loadExistingGrant: async (ctx) => {
      const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://gatepost.test/es256',
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => resourceServer(resource),
      },
    },
    extraTokenClaims: (_ctx, token) => ({ groups: groups.get(token.clientId) ?? [] }),
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  callback = provider.callback();
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

/** The log-in: a form, and what it sends. */
async function interact(request, response) {
  if (request.method === 'GET') {
    const page = '<!doctype html><html lang="en"><title>Log in</title><link rel="icon" href="data:,"><form method="post"><label>Name <input name="name" autofocus></label><button>Log in</button></form>';
    response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const name = new URLSearchParams(Buffer.concat(chunks).toString()).get('name');
  const result = people.has(name) ? { login: { accountId: name } } : { error: 'access_denied', error_description: 'nobody is called that' };
  await provider.interactionFinished(request, response, result);
}

const server = createServer((request, response) => {
  switch (`${request.method} ${request.url}`) {
    case 'POST /admin/rotate':
      rotate();
      return answer(response, 200, { generation });
    case 'GET /admin/counts':
      return answer(response, 200, counts);
    case 'GET /.well-known/openid-configuration':
      counts.discovery += 1;
      break;
    case 'GET /jwks':
      counts.jwks += 1;
      break;
    default:
      if (request.url.startsWith('/interaction/')) return interact(request, response).catch((error) => { console.error(error); response.destroy(); });
  }
  return callback(request, response);
});

server.listen(Number(options.port), '127.0.0.1', () => {
  const { port } = server.address();
  issuer = `http://127.0.0.1:${port}`;
  rotate();
  console.log(JSON.stringify({ ready: true, port, issuer }));
});
// Whoever started this reads one line, and may close its end then.
process.stdout.on('error', () => {});
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
