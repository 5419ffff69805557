// An HTTP server at argv[2] or $PORT, on argv[3] or 127.0.0.1. SIGTERM ends it with code 0.
'use strict';
const http = require('node:http');

const port = Number(process.argv[2] || process.env.PORT);
const server = http.createServer((request, response) => response.end('well'));
server.listen(port, process.argv[3] || '127.0.0.1', () => console.log(`listens on ${port}`));
process.on('SIGTERM', () => process.exit(0));
