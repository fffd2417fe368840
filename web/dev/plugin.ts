import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Connect, Plugin } from 'vite'
import { addSampleData } from './scenarios.ts'
import { StandIn } from './standin.ts'

const paths = /^\/(api|agents|batches|events|executions|files|me|usage)(\/|\?|$)/

/** Makes Vite's server answer the API's paths from a stand-in instead of a real server. */
export function standIn(): Plugin {
  const server = new StandIn()
  addSampleData(server)
  const middleware: Connect.NextHandleFunction = (incoming, outgoing, next) => {
    if (paths.test(incoming.url ?? '')) {
      respond(server, incoming, outgoing).catch(next)
      return
    }
    next()
  }
  return {
    name: 'airlock-standin',
    configureServer: (vite) => void vite.middlewares.use(middleware),
    configurePreviewServer: (vite) => void vite.middlewares.use(middleware),
  }
}

async function respond(server: StandIn, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const chunks = await Readable.from(incoming).toArray()
  const body = Buffer.concat(chunks as Buffer[])
  const method = incoming.method ?? 'GET'
  const request = new Request(`http://stand.in${incoming.url ?? '/'}`, {
    method,
    ...(incoming.headers.range !== undefined && { headers: { Range: incoming.headers.range } }),
    ...((method === 'POST' || method === 'PATCH') && { body }),
  })
  const response = await server.handle(request)
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  if (response.body === null) {
    outgoing.end()
    return
  }
  // The browser may leave before the end of a stream.
  await pipeline(Readable.fromWeb(response.body as ReadableStream), outgoing).catch(() => undefined)
}
