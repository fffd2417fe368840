import { unwrap } from './client.ts'
import { keepConnected, readChunks, type ByteStream, type Connection } from './connection.ts'
import { pauseUntilOnline, type Pause } from './pause.ts'

/** An event of a stream. One that only tells its ID has no name. */
export interface ServerEvent {
  id: string
  name: string
  data: string
}

/** An event, or the news that the stream has begun or was interrupted. */
export type StreamUpdate = { event: ServerEvent } | Connection

/** How much of a stream the page has: the ID of the last event. It outlives the connections. */
export interface Position {
  current: string | undefined
}

/** Requests the events after those of the headers. */
export type Open = (
  headers: { 'Last-Event-ID'?: string },
  signal: AbortSignal,
) => Parameters<typeof unwrap<ByteStream | null>>[0]

/**
 * Reads a stream of server-sent events. After an interruption it continues behind the last event, with growing pauses.
 * Throws a problem that is not transient. Returns when the signal aborts.
 */
export function followEvents(
  open: Open,
  position: Position,
  signal: AbortSignal,
  pause: Pause = pauseUntilOnline,
): AsyncGenerator<StreamUpdate, void> {
  async function* connect(): AsyncGenerator<StreamUpdate, boolean> {
    const last = position.current
    const body = await unwrap(open(last === undefined ? {} : { 'Last-Event-ID': last }, signal))
    yield { connected: true }
    for await (const event of readEvents(body, signal)) {
      position.current = event.id || position.current // an event of the moment has no ID
      yield { event }
    }
    return false
  }
  return keepConnected(connect, signal, pause)
}

/** Reads the events of one connection. */
async function* readEvents(body: ByteStream | null, signal: AbortSignal): AsyncGenerator<ServerEvent, void> {
  const decoder = new TextDecoder()
  let id = ''
  let text = ''
  for await (const chunk of readChunks(body, signal)) {
    const blocks = (text + decoder.decode(chunk, { stream: true })).split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const event = parseEvent(block, id)
      id = event.id
      yield event
    }
  }
}

function parseEvent(block: string, previousId: string): ServerEvent {
  const fields = new Map(
    block.split('\n').map((line) => {
      const [name = '', ...value] = line.split(': ')
      return [name, value.join(': ')]
    }),
  )
  return {
    id: fields.get('id') ?? previousId,
    name: fields.get('event') ?? '',
    data: fields.get('data') ?? '',
  }
}
