// A plain Node program. All that Portico asks of it: listen on $PORT.
'use strict';
const http = require('node:http');

const port = Number(process.env.PORT || 3000);
const instance = Number(process.env.NODE_APP_INSTANCE || 0) + 1;
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
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hello from instance ${facts.instance}</title>
<style>
  :root { color-scheme: light dark; --hue: ${(facts.instance * 83) % 360}; }
  body { font: 17px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1.5rem; }
  h1 { font-size: 1.7rem; font-weight: 600; margin: 0 0 .3rem; }
  h1 b { color: hsl(var(--hue) 65% 45%); }
  dl { display: grid; grid-template-columns: 7rem 1fr; gap: .2rem 1rem; margin: 1.5rem 0;
       padding: 1rem 1.25rem; border-left: 4px solid hsl(var(--hue) 65% 45%);
       background: hsl(var(--hue) 40% 50% / .08); font-variant-numeric: tabular-nums; }
  dt { opacity: .65; } dd { margin: 0; }
  ol { list-style: none; display: flex; flex-wrap: wrap; gap: 6px; padding: 0; margin: .5rem 0; }
  li { min-width: 1.9em; padding: .15em .3em; text-align: center; border-radius: 4px; color: #fff;
       background: hsl(calc(var(--n) * 83) 55% 42%); }
  button { font: inherit; padding: .35rem 1rem; cursor: pointer; }
</style>
<h1>Hello from instance <b>${facts.instance}</b></h1>
<p>One of the copies of this program answered. The next request may meet another one.</p>
<dl>${rows}</dl>
<p><button id="ask">Ask 20 times more</button></p>
<ol id="answers" aria-label="Which instance answered"></ol>
<script>
  document.getElementById('ask').onclick = async () => {
    for (let n = 0; n < 20; n += 1) {
      const facts = await (await fetch('/api')).json();
      const item = document.createElement('li');
      item.style.setProperty('--n', facts.instance);
      item.textContent = facts.instance;
      item.title = 'pid ' + facts.pid + ', port ' + facts.port;
      document.getElementById('answers').append(item);
    }
  };
</script>
</html>
`;
}
