import { api, unwrapContent } from '../api/client.ts'
import { keepConnected, readChunks, type Connection } from '../api/connection.ts'
import { LineSplitter, type Line } from '../api/lines.ts'
import { pauseUntilOnline, type Pause } from '../api/pause.ts'
import type { TranscriptItem } from '../api/types.ts'

/** An item, and where its line is in the transcript, in bytes. */
export interface TranscriptLine {
  item: TranscriptItem
  offset: number
  size: number
}

/** Whole lines of a transcript, and where they begin and end, in bytes. */
export interface TranscriptPart {
  lines: TranscriptLine[]
  start: number
  end: number
}

/** The newest part, which comes once and first, or lines that were added, or news of the connection. */
export type TranscriptUpdate = { newest: TranscriptPart } | { added: TranscriptLine[] } | Connection

/** How much of the transcript the page has, in bytes; undefined before the newest part. It outlives the connections. */
export interface TranscriptPosition {
  current: number | undefined
}

// How much is read at once. Each line is shorter: its text and its input have 64 KiB each before they are encoded.
const partBytes = 2 << 20

/**
 * Reads the newest part of a transcript, and of an unfinished execution what is added, until it has finished. After an
 * interruption it continues behind the last line. Throws a problem that is not transient. Returns when the signal
 * aborts.
 */
export function followTranscript(
  id: string,
  position: TranscriptPosition,
  finished: boolean,
  signal: AbortSignal,
  pause: Pause = pauseUntilOnline,
): AsyncGenerator<TranscriptUpdate, void> {
  async function* connect(): AsyncGenerator<TranscriptUpdate, boolean> {
    if (position.current === undefined) {
      const newest = await readPart(id, undefined, signal)
      position.current = newest.end
      yield { newest }
      if (finished) {
        return true
      }
    }
    const { data: body } = await unwrapContent(
      api.GET('/executions/{id}/transcript', {
        params: { path: { id }, query: { follow: true, offset: position.current } },
        parseAs: 'stream',
        signal,
      }),
    )
    yield { connected: true }
    const splitter = new LineSplitter(position.current)
    for await (const chunk of readChunks(body ?? null, signal)) {
      const added = itemsOf(splitter.split(chunk))
      position.current = splitter.end
      yield { added }
    }
    return true
  }
  return keepConnected(connect, signal, pause)
}

/** Reads the part of a transcript that ends at an offset, or the newest part. Throws like unwrap. */
export async function readPart(
  id: string,
  end: number | undefined,
  signal?: AbortSignal,
): Promise<TranscriptPart> {
  const range = end === undefined ? `-${partBytes}` : `${Math.max(0, end - partBytes)}-${end - 1}`
  const { data, response } = await unwrapContent(
    api.GET('/executions/{id}/transcript', {
      params: { path: { id } },
      headers: { Range: `bytes=${range}` },
      parseAs: 'arrayBuffer',
      ...(signal && { signal }),
    }),
  )
  // A proxy may ignore the range.
  const from = Number(/^bytes (\d+)-/.exec(response.headers.get('Content-Range') ?? '')?.[1] ?? 0)
  const bytes = new Uint8Array(data ?? new ArrayBuffer()).subarray(
    0,
    end === undefined ? undefined : end - from,
  )
  // The first line of a later part may be cut. It is a line of the part before.
  const start = from === 0 ? 0 : bytes.indexOf(0x0a) + 1
  const splitter = new LineSplitter(from + start)
  const lines = itemsOf(splitter.split(bytes.subarray(start)))
  return { lines, start: from + start, end: splitter.end }
}

/** Returns the items of lines, without those that are no items. */
function itemsOf(lines: Line[]): TranscriptLine[] {
  return lines.flatMap(({ text, offset, size }) => {
    const item = parseItem(text)
    return item ? [{ item, offset, size }] : []
  })
}

function parseItem(text: string): TranscriptItem | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const isItem =
    typeof value === 'object' &&
    value !== null &&
    'attempt' in value &&
    typeof value.attempt === 'number' &&
    'number' in value &&
    typeof value.number === 'number' &&
    'type' in value &&
    typeof value.type === 'string'
  return isItem ? (value as TranscriptItem) : undefined
}
