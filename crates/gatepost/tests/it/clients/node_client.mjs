// node-postgres with what a test asks of it; where to connect is in the environment, as for libpq.
//
//   node_client.mjs CASE [ARGUMENT]...
//
// Prints one JSON document.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.GATEPOST_TOOLS, 'node', 'package.json'));
const { Client, types } = require('pg');
// Dates as text: this is about what the server sent.
types.setTypeParser(1082, (text) => text);

async function open(options = {}) {
  const client = new Client({
    host: process.env.PGHOSTADDR,
    ssl: { ca: readFileSync(process.env.PGSSLROOTCERT, 'utf8'), servername: process.env.PGHOST },
    ...options,
  });
  await client.connect();
  return client;
}

const failure = (error) => ({
  severity: error.severity, sqlstate: error.code, message: error.message, detail: error.detail, hint: error.hint,
});

const cases = {
  // One statement: simple, with a parameter, and twice by name.
  async query(sql, parameter) {
    const client = await open();
    const withParameter = { text: sql, values: [parameter], rowMode: 'array' };
    const found = {
      tls: client.connection.stream.encrypted === true,
      simple: (await client.query({ text: sql.replace('$1', Number(parameter)), rowMode: 'array' })).rows,
      extended: (await client.query(withParameter)).rows,
      prepared: (await client.query({ ...withParameter, name: 'p' })).rows,
      again: (await client.query({ ...withParameter, name: 'p' })).rows,
    };
    await client.end();
    return found;
  },
  async refused(sql) {
    const client = await open();
    const found = {};
    await client.query(sql).catch((error) => { found.simple = failure(error); });
    await client.query(`${sql} AND $1`, [true]).catch((error) => { found.extended = failure(error); });
    found.goesOn = (await client.query({ text: 'SELECT 1', rowMode: 'array' })).rows;
    await client.end();
    return found;
  },
};

const [name, ...rest] = process.argv.slice(2);
console.log(JSON.stringify(await cases[name](...rest)));
