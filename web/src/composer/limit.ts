import { formatKiB } from '../ui/format.ts'

/** The server's limit of one text, in bytes of UTF-8. */
export const maxBytes = 256 * 1024

const nearLimit = 0.8 * maxBytes

export interface TextCheck {
  /** Why the text cannot be sent. */
  error?: string
  /** The size of a text that is close to the limit. */
  note?: string
}

export function checkText(text: string): TextCheck {
  if (text.includes('\0')) {
    return { error: 'The text holds a NUL character, which cannot be sent. Remove it.' }
  }
  // A UTF-16 unit takes at most three bytes of UTF-8, so short texts need no encoding.
  if (text.length * 3 < nearLimit) {
    return {}
  }
  const bytes = new TextEncoder().encode(text).length
  if (bytes > maxBytes) {
    const over = (bytes - maxBytes).toLocaleString('en')
    return { error: `Too long by ${over} ${over === '1' ? 'byte' : 'bytes'}: at most 256 KiB can be sent.` }
  }
  return bytes > nearLimit ? { note: `${formatKiB(bytes)} of 256 KiB` } : {}
}
