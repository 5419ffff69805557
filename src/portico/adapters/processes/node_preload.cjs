'use strict'
// Read by Node programs (NODE_OPTIONS=--require) of apps with wait_ready or port_fallback.

const { isMainThread } = require('worker_threads')

const address = process.env.PORTICO_SEND
const AGAIN = 500 // milliseconds, while no daemon listens

// Gives a program the process.send('ready') that PM2's have. There is no channel of Node's own
// behind it: the end of porticod would close that, and the program's next process.send would end
// the program.
if (isMainThread && address && !process.send) {
  let said = false
  process.send = (message, ...rest) => {
    if (message === 'ready' && !said) {
      said = true
      say()
    }
    const done = rest.find((each) => typeof each === 'function')
    if (done) process.nextTick(done, null)
    return true
  }
}

function say () {
  let heard = false
  const socket = require('net').connect(address, () => socket.write('READY=1\n'))
  socket.unref() // none of this keeps a program from ending
  socket.on('data', () => {
    heard = true
    socket.destroy()
  })
  socket.on('error', () => {}) // what follows is "close"
  socket.on('close', () => {
    if (!heard) setTimeout(say, AGAIN).unref()
  })
}

// Lets a program listen on its own port where the one that it asks for is in use: another
// instance has it. PM2's cluster lets them share it.
const own = Number(process.env[process.env.PORTICO_PORT_FALLBACK])

if (own) {
  const { Server } = require('net')
  const listen = Server.prototype.listen
  Server.prototype.listen = function (...args) {
    const [first] = args
    const asked = typeof first === 'object' && first ? first : { port: first, host: args[1] }
    const port = Number(asked.port)
    if (port > 0 && port !== own && !asked.path) fallBack(this, listen, asked.host)
    return listen.apply(this, args)
  }
}

function fallBack (server, listen, host) {
  server.emit = function (event, error) {
    if (event === 'listening' || event === 'error') delete server.emit
    if (event !== 'error' || !error || error.code !== 'EADDRINUSE') {
      return Object.getPrototypeOf(server).emit.apply(server, arguments)
    }
    listen.call(server, { port: own, host: typeof host === 'string' ? host : undefined })
    return true
  }
}
