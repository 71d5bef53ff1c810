// An issuer on loopback that signs whatever it is asked to, for tests only.
//
// Prints one line, {"issuer":URL}, and answers discovery and JWKS. Each line of its stdin, {"header":{},"claims":{},"key":"own"|"stranger"},
// is answered with one line: the token. `iss` and `iat` are there unless the claims say otherwise. {"answer":{}} sets what its token
// endpoint answers; the line that comes back has the form that was sent there last.

import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...own.publicKey.export({ format: 'jwk' }), kid: 'signer-1', alg: 'ES256', use: 'sig' };
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

let issuer;
let answer = {};
let form = {};
const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/token') {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      form = Object.fromEntries(new URLSearchParams(body));
      response.writeHead(answer.error ? 400 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
    return;
  }
  const documents = {
    '/.well-known/openid-configuration': {
      issuer,
      jwks_uri: `${issuer}/jwks`,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      authorization_response_iss_parameter_supported: true,
    },
    '/jwks': { keys: [jwk] },
  };
  const document = documents[request.url];
  response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(document ?? {}));
});

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(JSON.stringify({ issuer }));
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const asked = JSON.parse(line);
    if (asked.answer) {
      const last = form;
      ({ answer } = asked);
      console.log(JSON.stringify({ form: last }));
      return;
    }
    const { header = {}, claims = {}, key = 'own' } = asked;
    const head = { alg: 'ES256', kid: 'signer-1', ...header };
    const input = `${encode(head)}.${encode({ iss: issuer, iat: Math.floor(Date.now() / 1000), ...claims })}`;
    const keys = { own, stranger };
    const signature = sign('sha256', Buffer.from(input), { key: keys[key].privateKey, dsaEncoding: 'ieee-p1363' });
    console.log(JSON.stringify({ token: `${input}.${signature.toString('base64url')}` }));
  });
  lines.on('close', () => process.exit(0));
});
