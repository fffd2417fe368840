import { expect, test } from 'vitest'
import { LineSplitter } from './lines.ts'

test('lines are found in whatever chunks they arrive, with their place in bytes', () => {
  const bytes = new TextEncoder().encode('{"a":1}\n\n\nä\nnot complete')
  for (const size of [1, 3, bytes.length]) {
    const splitter = new LineSplitter(100)
    const lines = []
    for (let from = 0; from < bytes.length; from += size) {
      lines.push(...splitter.split(bytes.slice(from, from + size)))
    }
    expect(lines).toEqual([
      { text: '{"a":1}', offset: 100, size: 8 },
      { text: 'ä', offset: 108, size: 3 }, // the empty lines do not count
    ])
    expect(splitter.end).toBe(111)
  }
})
