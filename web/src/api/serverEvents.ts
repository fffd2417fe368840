import { unwrap } from './client.ts'
import { backoff, pauseUntilOnline, type Pause } from './pause.ts'
import { isTransient } from './problem.ts'

/** An event of a stream. One that only tells its ID has no name. */
export interface ServerEvent {
  id: string
  name: string
  data: string
}

/** An event, or the news that the stream has begun or was interrupted. */
export type StreamUpdate = { event: ServerEvent } | { connected: boolean }

/** How much of a stream the page has: the ID of the last event. It outlives the connections. */
export interface Position {
  current: string | undefined
}

/** Requests the events after those of the headers. */
export type Open = (
  headers: { 'Last-Event-ID'?: string },
  signal: AbortSignal,
) => Parameters<typeof unwrap<ReadableStream<BufferSource> | null>>[0]

// The server is never silent for more than 25 s, so a connection that is silent for longer than this is dead.
const maxSilenceMs = 60_000
// The pause after a connection that lasted this long is short again.
const steadyMs = 10_000

/**
 * Reads a stream of server-sent events. After an interruption it continues behind the last event, with growing pauses.
 * Throws a problem that is not transient. Returns when the signal aborts.
 */
export async function* followEvents(
  open: Open,
  position: Position,
  signal: AbortSignal,
  pause: Pause = pauseUntilOnline,
): AsyncGenerator<StreamUpdate, void> {
  const stopped = () => signal.aborted
  for (let failures = 0; !stopped(); failures++) {
    const started = performance.now()
    let problem: unknown
    try {
      const last = position.current
      const body = await unwrap(open(last === undefined ? {} : { 'Last-Event-ID': last }, signal))
      yield { connected: true }
      for await (const event of readEvents(body, signal)) {
        position.current = event.id
        yield { event }
      }
    } catch (error) {
      problem = error
      if (!stopped() && !isTransient(error)) {
        throw error
      }
    }
    if (stopped()) {
      return
    }
    yield { connected: false }
    if (performance.now() - started >= steadyMs) {
      failures = 0
    }
    await pause(backoff(failures, problem), signal)
  }
}

/** Reads the events of one connection, until it ends, breaks, or is silent for too long. */
async function* readEvents(
  body: ReadableStream<BufferSource> | null,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  if (body === null || signal.aborted) {
    return
  }
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  const close = () => void reader.cancel().catch(() => undefined)
  signal.addEventListener('abort', close)
  let id = ''
  let text = ''
  try {
    for (;;) {
      const watchdog = setTimeout(close, maxSilenceMs)
      // A connection that breaks has ended.
      const chunk = await reader.read().catch(() => undefined)
      clearTimeout(watchdog)
      if (chunk?.value === undefined) {
        return
      }
      const blocks = (text + chunk.value).split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = parseEvent(block, id)
        id = event.id
        yield event
      }
    }
  } finally {
    signal.removeEventListener('abort', close)
    close()
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
