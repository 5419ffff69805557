'use strict'
// Read by the Node programs of apps with wait_ready (NODE_OPTIONS=--require): gives them the
// process.send('ready') that PM2's have. There is no channel of Node's own behind it: the end of
// porticod would close that, and the program's next process.send would end the program.

const { isMainThread } = require('worker_threads')

const address = process.env.PORTICO_SEND
const AGAIN = 500 // milliseconds, while no daemon listens

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
