// A real identity provider for the tests: npm's oidc-provider with its development pages, where any name signs in.
//
// node provider.mjs '{"modules": DIR, "folder": DIR, "port": 0, "kids": ["a"], "redirect_uri": URL}'
// Prints its port once it listens. Keys are kept in the folder by their names, so that another process with the same
// folder has the same keys; the first of `kids` signs. The person `NAME` has the e-mail address `NAME@example.com`,
// which is verified unless they are called `eve`. With the client `robot`, client credentials give access tokens (JWT)
// for the audience `latchgate` and the person in `scope`.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const given = JSON.parse(process.argv[2]);
const { Provider } = await import(pathToFileURL(join(given.modules, 'oidc-provider/lib/index.js')));

function key(kid) {
  const file = join(given.folder, `${kid}.json`);
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(file, JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }));
  }
  return JSON.parse(readFileSync(file));
}

const address = (name) => ({ email: `${name}@example.com`, email_verified: name !== 'eve' });

const server = createServer();
await new Promise((listening) => server.listen(given.port, '127.0.0.1', listening));
const { port } = server.address();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'latchgate', client_secret: 's3:cret/+ %', redirect_uris: [given.redirect_uri],
      grant_types: ['authorization_code'], response_types: ['code'],
    },
    { client_id: 'robot', client_secret: 'robot', redirect_uris: [], response_types: [], grant_types: ['client_credentials'] },
  ],
  jwks: { keys: given.kids.map(key) },
  cookies: { keys: ['a secret of the tests'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: given.user_info ?? false,
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: id, ...address(id) }) }),
  extraTokenClaims: (_ctx, token) => address(token.scope),
  scopes: ['openid', 'ana', 'nobody', 'eve'],
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx, client) => (client.clientId === 'robot' ? 'urn:latchgate' : undefined),
      getResourceServerInfo: () => ({
        scope: 'ana nobody eve', audience: 'latchgate', accessTokenFormat: 'jwt', accessTokenTTL: 300,
        jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
});
server.on('request', provider.callback());
console.log(`listening ${port}`);
