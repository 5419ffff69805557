// The program that every peer serves: /, /16k, /1m, a POST of any size, WebSockets that echo. With CLUSTER=N it
// is N processes on one port; with CERT and KEY it serves HTTPS itself. SLOW_<instance> is a delay in
// milliseconds, FAIL_<instance> the number of requests of which one is answered with 503.
'use strict';
const cluster = require('node:cluster');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const port = Number(process.env.PORT || 3000);
const instance = process.env.NODE_APP_INSTANCE || '0';
const slow = Number(process.env[`SLOW_${instance}`] || 0);
const fail = Number(process.env[`FAIL_${instance}`] || 0);
const BODIES = {
  '/16k': Buffer.alloc(16 << 10, 'x'),
  '/1m': Buffer.alloc(1 << 20, 'x'),
};
const TINY = Buffer.from('0123456789abcdef\r\n\r\n');
let answered = 0;

function answer(request, response) {
  const body = BODIES[request.url] || TINY;
  answered += 1;
  response.writeHead(fail && answered % fail === 0 ? 503 : 200, {
    'content-type': 'application/octet-stream', 'content-length': body.length, 'x-pid': process.pid,
  });
  response.end(body);
}

function serve(request, response) {
  const now = () => (slow ? setTimeout(answer, slow, request, response) : answer(request, response));
  if (request.method === 'GET') return now();
  request.on('data', () => {});
  request.on('end', now);
}

function upgrade(request, socket) {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = crypto.createHash('sha1').update(key).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', (frame) => { // one short masked text frame at a time, as the load sends them
    const length = frame[1] & 0x7f;
    const mask = frame.subarray(2, 6);
    const text = Buffer.from(frame.subarray(6, 6 + length)).map((byte, n) => byte ^ mask[n % 4]);
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
  });
}

function listen() {
  const { CERT, KEY } = process.env;
  const server = CERT
    ? https.createServer({ cert: fs.readFileSync(CERT), key: fs.readFileSync(KEY) }, serve)
    : http.createServer(serve);
  server.on('upgrade', upgrade);
  server.listen(port, '127.0.0.1', 4096, () => process.send && process.send('ready'));
  const end = () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}

if (process.env.CLUSTER && cluster.isPrimary) {
  for (let n = 0; n < Number(process.env.CLUSTER); n += 1) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else listen();
