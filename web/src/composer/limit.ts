import { formatKiB } from '../ui/format.ts'

/** The most that the server takes of one text, in bytes of UTF-8. */
export const maxBytes = 256 * 1024

const nearLimit = 0.8 * maxBytes

export interface Measure {
  /** Why the text cannot be sent. */
  fault?: string
  /** Worth knowing before it becomes a fault. */
  note?: string
}

export function measure(text: string): Measure {
  if (text.includes('\0')) {
    return { fault: 'The text holds a NUL character, which cannot be sent. Remove it.' }
  }
  // A UTF-16 unit makes at most three bytes, so most texts need no counting.
  if (text.length * 3 < nearLimit) {
    return {}
  }
  const bytes = new TextEncoder().encode(text).length
  if (bytes > maxBytes) {
    const over = (bytes - maxBytes).toLocaleString('en')
    return { fault: `Too long by ${over} ${over === '1' ? 'byte' : 'bytes'}: at most 256 KiB can be sent.` }
  }
  return bytes > nearLimit ? { note: `${formatKiB(bytes)} of 256 KiB` } : {}
}
