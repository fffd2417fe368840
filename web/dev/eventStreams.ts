/** The open streams of server-sent events of a stand-in, by the path of their URL. */
export class EventStreams {
  private readonly streams = new Map<string, Set<ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>>>()
  private count = 0

  /** Opens a stream at its present end. */
  open(path: string): Response {
    const streams = this.at(path)
    let own: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        own = controller
        streams.add(own)
        own.enqueue(encode(`id: ${this.count}\n\n`))
      },
      cancel: () => void streams.delete(own),
    })
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } })
  }

  send(path: string, name: string, data: object): void {
    const event = encode(`id: ${++this.count}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
    this.at(path).forEach((stream) => stream.enqueue(event))
  }

  /** Ends all streams at a path. */
  end(path: string): void {
    this.at(path).forEach((stream) => stream.close())
    this.at(path).clear()
  }

  /** Returns the number of open streams at a path. */
  openAt(path: string): number {
    return this.at(path).size
  }

  private at(path: string) {
    const streams = this.streams.get(path) ?? new Set()
    this.streams.set(path, streams)
    return streams
  }
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}
