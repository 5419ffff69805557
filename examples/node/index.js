// A plain Node program. All that Portico asks of it: listen on $PORT.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const port = Number(process.env.PORT || 3000);
const instance = Number(process.env.NODE_APP_INSTANCE || 0) + 1;
const PAGE = fs.readFileSync(path.join(__dirname, 'page.html'), 'utf8');
const started = Date.now();
let answered = 0;

const server = http.createServer((request, response) => {
  if (request.url === '/healthz') return send(response, 'text/plain', 'ok\n');
  answered += 1;
  const facts = {
    instance, pid: process.pid, port, answered,
    up: `${Math.round((Date.now() - started) / 1000)} s`,
  };
  if (request.url === '/api') return send(response, 'application/json', JSON.stringify(facts));
  return send(response, 'text/html; charset=utf-8', page(facts));
});

// The name of a site may resolve to IPv6 first; instances are only ever asked over IPv4 loopback.
server.listen(port, '127.0.0.1', () => console.log(`instance ${instance} listens on ${port}`));

// Finish the requests that are open, then leave.
process.on('SIGTERM', () => {
  console.log(`instance ${instance} was told to stop`);
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});

function send(response, type, body) {
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

function page(facts) {
  const rows = Object.entries(facts).map(([name, value]) => `<dt>${name}<dd>${value}`).join('');
  return PAGE.replaceAll('{rows}', rows).replaceAll('{n}', instance).replaceAll('{hue}', instance * 83 % 360);
}
