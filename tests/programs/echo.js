// The core of echo.py in Node: says who answered. See there for what is in the answer.
'use strict';
const http = require('node:http');

const port = Number(process.env.PORT || 3000);
const instance = Number(process.env.NODE_APP_INSTANCE || 0);
let open = 0;
let most = 0;

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const query = url.searchParams;
  let bodyBytes = 0;
  if (query.get('exit')) process.exit(Number(query.get('exit')));
  if (query.get('close')) return request.socket.destroy();
  open += 1;
  most = Math.max(most, open);
  request.on('data', (chunk) => { bodyBytes += chunk.length; });
  request.on('end', () => setTimeout(() => {
    const body = JSON.stringify({
      pid: process.pid, port, instance, method: request.method, path: url.pathname,
      headers: request.headers, body_bytes: bodyBytes, open, most,
    });
    open -= 1;
    response.writeHead(Number(query.get('status') || 200), {
      'content-type': 'application/json', 'x-instance': instance, 'x-pid': process.pid,
    });
    response.end(body);
  }, 1000 * Number(query.get('sleep') || 0)));
});

server.listen(port, '127.0.0.1', () => console.log(`instance ${instance} listens on ${port}`));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
