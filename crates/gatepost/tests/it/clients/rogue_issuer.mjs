// An issuer on loopback whose tokens are wrong in every way that a signature can't show, for tests only.
//
// Prints one line, {"issuer":URL,"tokens":{KIND:TOKEN}}, and answers discovery and JWKS until its stdin ends.

import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'rogue-1', alg: 'ES256', use: 'sig' };

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function token(claims = {}, header = {}, key = privateKey) {
  const head = { alg: 'ES256', typ: 'at+jwt', kid: 'rogue-1', ...header };
  const now = Math.floor(Date.now() / 1000);
  const all = { iss: issuer, aud: 'gatepost', sub: 'support-agent', groups: ['support-agents'], iat: now, exp: now + 300, ...claims };
  const input = `${encode(head)}.${encode(all)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function symmetric() {
  const input = token({}, { alg: 'HS256' }).split('.').slice(0, 2).join('.');
  const secret = publicKey.export({ format: 'pem', type: 'spki' });
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

let issuer;
const server = createServer((request, response) => {
  const documents = {
    '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/jwks` },
    '/jwks': { keys: [jwk] },
  };
  const document = documents[request.url];
  response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(document ?? {}));
});

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  const now = Math.floor(Date.now() / 1000);
  const [head, body, signature] = token().split('.');
  const tokens = {
    good: token(),
    'not a token': 'swordfish',
    'two parts': `${head}.${body}`,
    'five parts': `${head}.${body}.${signature}.${body}.${signature}`,
    'a changed claim': `${head}.${encode({ ...JSON.parse(Buffer.from(body, 'base64url')), groups: ['dba'] })}.${signature}`,
    'no signature': `${encode({ alg: 'none' })}.${body}.`,
    'a shared secret': symmetric(),
    'a key of its own': token({}, { jwk: createPublicKey(stranger).export({ format: 'jwk' }) }, stranger),
    'a key from elsewhere': token({}, { kid: 'rogue-2', jku: `${issuer}/jwks`, x5u: `${issuer}/jwks` }, stranger),
    'a path for a key': token({}, { kid: '../../../../dev/null' }),
    'critical extensions': token({}, { crit: ['exp'] }),
    'another issuer': token({ iss: 'https://idp.example.com' }),
    'another audience': token({ aud: 'payroll' }),
    'no audience': token({ aud: undefined }),
    expired: token({ exp: now - 3600 }),
    'no end': token({ exp: undefined }),
    'not yet valid': token({ nbf: now + 3600 }),
    'from the future': token({ iat: now + 3600 }),
    'no subject': token({ sub: undefined }),
    'a forged log line': token({ sub: 'a\n2026-01-01 authenticated root' }),
    'bound to a key': token({ cnf: { jkt: 'x' } }),
    'too long': token({ padding: 'x'.repeat(20000) }),
  };
  console.log(JSON.stringify({ issuer, tokens }));
});
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
