// The core of echo.py in Node: says who answered. See there for what is in the answer, in the
// query, and in the environment: SLEEP, CRASH, NEVER_LISTEN, UNHEALTHY, IGNORE_SIGTERM and
// DIE_AT_ONCE are known here too. A WebSocket's messages, of up to 125 bytes, come back as JSON.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

const port = Number(process.env.PORT || 3000);
const instance = Number(process.env.NODE_APP_INSTANCE || 0);
const told = (name) => process.env[`${name}_${instance}`] || process.env[name];
let open = 0;
let most = 0;

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const query = url.searchParams;
  const check = url.pathname === '/healthz';
  let bodyBytes = 0;
  if (query.get('exit')) process.exit(Number(query.get('exit')));
  if (query.get('close')) return request.socket.destroy();
  open += check ? 0 : 1;
  most = Math.max(most, open);
  request.on('data', (chunk) => { bodyBytes += chunk.length; });
  request.on('end', () => setTimeout(() => {
    const body = JSON.stringify({
      pid: process.pid, port, instance, method: request.method, path: url.pathname,
      headers: request.headers, body_bytes: bodyBytes, open, most,
    });
    open -= check ? 0 : 1;
    const unwell = check && told('UNHEALTHY') && fs.existsSync(told('UNHEALTHY'));
    response.writeHead(unwell ? 503 : Number(query.get('status') || 200), {
      'content-type': 'application/json', 'x-instance': instance, 'x-pid': process.pid,
    });
    response.end(body);
  }, check ? 0 : 1000 * Number(query.get('sleep') || told('SLEEP') || 0)));
});

server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = crypto.createHash('sha1').update(key).digest('base64');
  let unread = Buffer.alloc(0);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
    `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Pid: ${process.pid}\r\n\r\n`);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    unread = Buffer.concat([unread, data]);
    while (unread.length >= 6 && unread.length >= 6 + (unread[1] & 0x7f)) {
      const length = unread[1] & 0x7f;
      const mask = unread.subarray(2, 6);
      const kind = unread[0] & 0x0f;
      const text = Buffer.from(unread.subarray(6, 6 + length)).map((byte, n) => byte ^ mask[n % 4]);
      unread = unread.subarray(6 + length);
      const answer = kind === 1
        ? Buffer.from(JSON.stringify({ pid: process.pid, text: text.toString() })) : text;
      socket.write(Buffer.concat([Buffer.from([0x80 | (kind === 9 ? 10 : kind), answer.length]), answer]));
      if (kind === 8) socket.end();
    }
  });
});

console.log(`instance ${instance} starts as pid ${process.pid}`);
if (told('CRASH')) {
  console.error('ends with code 7');
  process.exit(7);
}
if (told('NEVER_LISTEN')) setInterval(() => {}, 1000);
else server.listen(port, '127.0.0.1', () => console.log(`instance ${instance} listens on ${port}`));
if (told('IGNORE_SIGTERM')) process.on('SIGTERM', () => console.log('SIGTERM is ignored'));
else if (told('DIE_AT_ONCE')) process.on('SIGTERM', () => process.exit(0));
else process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
