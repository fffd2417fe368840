/** A line of a text, and where it is in it. */
export interface Line {
  text: string
  /** In bytes. */
  offset: number
  /** In bytes, with the line feed. */
  size: number
}

const lineFeed = 0x0a

/** Finds the lines of a text that arrives in chunks. Empty lines keep a connection open and are no part of the text. */
export class LineSplitter {
  /** Where the first line that is not complete begins. */
  end: number
  private readonly decoder = new TextDecoder()
  private partial = new Uint8Array()

  /** The first chunk begins at this offset. */
  constructor(offset: number) {
    this.end = offset
  }

  /** Returns the lines that a chunk completes. */
  split(chunk: Uint8Array<ArrayBuffer>): Line[] {
    const bytes = concatenate(this.partial, chunk)
    const lines: Line[] = []
    let from = 0
    for (let to = bytes.indexOf(lineFeed); to >= 0; to = bytes.indexOf(lineFeed, from)) {
      if (to > from) {
        const size = to + 1 - from
        lines.push({ text: this.decoder.decode(bytes.subarray(from, to)), offset: this.end, size })
        this.end += size
      }
      from = to + 1
    }
    this.partial = bytes.slice(from)
    return lines
  }
}

function concatenate(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (a.length === 0) {
    return b
  }
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
