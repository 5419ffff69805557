// Reads its port from `port`, in lower case, as many programs under PM2 do.
'use strict';
const http = require('node:http');

console.log(`listening on ${process.env.port}`);
http
  .createServer((_, response) => response.end(JSON.stringify({ pid: process.pid, port: process.env.port })))
  .listen(Number(process.env.port), '127.0.0.1');
