// Says that it is ready as PM2 has it: once the file argv[2] is there. Listens on $PORT, if it has
// one, from the beginning. While the file argv[2].more is there it goes on sending.
'use strict'
const fs = require('node:fs')

if (process.env.PORT) {
  require('node:http')
    .createServer((request, response) => response.end('well'))
    .listen(Number(process.env.PORT), '127.0.0.1')
}
const looking = setInterval(() => {
  if (!fs.existsSync(process.argv[2])) return
  clearInterval(looking)
  process.send('ready')
  setInterval(() => {
    if (!fs.existsSync(process.argv[2] + '.more')) return
    process.send({ type: 'process:msg', data: {} }, (error) => console.log('sent', error))
  }, 50)
}, 20)
