import type { TranscriptItem } from '../src/api/types.ts'

/** The fields of an item that an agent determines; the others are added. */
export type NewItem = Omit<TranscriptItem, 'number' | 'attempt' | 'time'> & {
  attempt?: number
  time?: string
}

type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>

/** The transcripts of a stand-in's executions, and the open streams that follow them, by the ID of the execution. */
export class Transcripts {
  private readonly texts = new Map<string, Uint8Array<ArrayBuffer>>()
  private readonly streams = new Map<string, Set<Controller>>()
  private readonly counts = new Map<string, number>()

  /** Adds items, and sends them to those who follow. An item without an attempt is of the first. */
  add(id: string, ...items: NewItem[]): void {
    const lines = items.map((item) => {
      const attempt = item.attempt ?? 1
      const number = (this.counts.get(`${id} ${attempt}`) ?? 0) + 1
      this.counts.set(`${id} ${attempt}`, number)
      return `${JSON.stringify({ number, attempt, time: new Date().toISOString(), ...item })}\n`
    })
    const added = new TextEncoder().encode(lines.join(''))
    this.texts.set(id, Uint8Array.from([...this.text(id), ...added]))
    this.streams.get(id)?.forEach((stream) => stream.enqueue(added))
  }

  /** Ends the streams that follow a transcript: properly, or as an interruption does. */
  end(id: string, interruption?: Error): void {
    this.streams.get(id)?.forEach((stream) => (interruption ? stream.error(interruption) : stream.close()))
    this.streams.delete(id)
  }

  /** Returns the number of open streams that follow a transcript. */
  openAt(id: string): number {
    return this.streams.get(id)?.size ?? 0
  }

  /** Responds with the whole transcript or a range of it, or follows it. */
  respond(id: string, request: Request, finished: boolean): Response {
    const text = this.text(id)
    const { searchParams } = new URL(request.url)
    if (searchParams.get('follow') !== 'true') {
      return rangeOf(text, request.headers.get('Range'))
    }
    const rest = text.slice(Number(searchParams.get('offset') ?? 0))
    return finished ? content(rest) : content(this.follow(id, rest))
  }

  private follow(id: string, rest: Uint8Array<ArrayBuffer>) {
    const streams = this.streams.get(id) ?? new Set()
    this.streams.set(id, streams)
    let own: Controller
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        own = controller
        streams.add(own)
        own.enqueue(rest)
      },
      cancel: () => void streams.delete(own),
    })
  }

  private text(id: string): Uint8Array<ArrayBuffer> {
    return this.texts.get(id) ?? new Uint8Array()
  }
}

/** Answers a request for bytes, as Go's http.ServeContent does. */
function rangeOf(text: Uint8Array<ArrayBuffer>, range: string | null): Response {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? []
  if (range === null || text.length === 0) {
    return content(text)
  }
  const from = first === '' ? Math.max(0, text.length - Number(last)) : Number(first)
  const to = first === '' || last === '' ? text.length : Number(last) + 1
  return content(text.slice(from, to), 206, { 'Content-Range': `bytes ${from}-${to - 1}/${text.length}` })
}

function content(body: Uint8Array<ArrayBuffer> | ReadableStream, status = 200, headers = {}): Response {
  const length = body instanceof Uint8Array ? { 'Content-Length': `${body.length}` } : {}
  return new Response(body, {
    status,
    headers: { 'Content-Type': 'application/jsonl', ...length, ...headers },
  })
}
