import type { TranscriptLine, TranscriptPart } from './read.ts'

/** The newest lines of a transcript that the page has in memory, and how many of them it may show. */
export interface TranscriptWindow {
  lines: TranscriptLine[]
  /** Where the lines begin in the transcript, in bytes: 0 if nothing is before them. */
  start: number
  /** How many lines are shown, the newest. */
  limit: number
}

/** How many items are shown at first, and how many more each time. */
export const windowStep = 500
// Bounds of what is shown and in memory.
const maxItems = 5000
const maxBytes = 32 << 20

export const emptyWindow: TranscriptWindow = { lines: [], start: 0, limit: windowStep }

/** Adds newer lines. The oldest ones leave the memory if there are too many. */
export function append(window: TranscriptWindow, added: TranscriptLine[]): TranscriptWindow {
  const lines = [...window.lines, ...added]
  const end = endOf(lines)
  const tooMany = lines.findIndex(({ offset }, i) => lines.length - i <= maxItems && end - offset <= maxBytes)
  if (tooMany <= 0) {
    return { ...window, lines }
  }
  const rest = lines.slice(tooMany)
  return { ...window, lines: rest, start: rest[0]?.offset ?? end }
}

/** Adds an older part that ends where the window begins, and ignores another one. */
export function prepend(window: TranscriptWindow, part: TranscriptPart): TranscriptWindow {
  return part.end === window.start
    ? { ...window, lines: [...part.lines, ...window.lines], start: part.start }
    : window
}

/** Returns the lines that are shown. */
export function shown({ lines, limit }: TranscriptWindow): TranscriptLine[] {
  return lines.slice(-limit)
}

/** Returns where the next older lines are; none: the page shows all, or as many as it may. */
export function earlier({
  lines,
  start,
  limit,
}: TranscriptWindow): 'none' | 'memory' | 'server' | 'download' {
  if (lines.length <= limit && start === 0) {
    return 'none'
  }
  if (limit >= maxItems) {
    return 'download'
  }
  if (lines.length > limit) {
    return 'memory'
  }
  return endOf(lines) - start < maxBytes ? 'server' : 'download'
}

function endOf(lines: TranscriptLine[]): number {
  const last = lines.at(-1)
  return last ? last.offset + last.size : 0
}
