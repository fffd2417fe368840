import { expect, test } from 'vitest'
import type { TranscriptLine } from './read.ts'
import { append, earlier, emptyWindow, prepend, shown } from './window.ts'

/** Makes lines of a size in bytes, of which the first begins at an offset. */
function lines(count: number, offset = 0, size = 100): TranscriptLine[] {
  return Array.from({ length: count }, (_, i) => ({
    item: { number: i, attempt: 1, time: '', type: 'text' },
    offset: offset + i * size,
    size,
  }))
}

test('the newest 500 lines are shown, and the others are in memory', () => {
  const window = append(emptyWindow, lines(501))
  expect(shown(window)).toHaveLength(500)
  expect(shown(window)[0]?.offset).toBe(100)
  expect(earlier(window)).toBe('memory')
  expect(earlier({ ...window, limit: 1000 })).toBe('none')
})

test('at most 5,000 lines are in memory and shown', () => {
  const window = append(append(emptyWindow, lines(4999)), lines(2, 499_900))
  expect(window.lines).toHaveLength(5000)
  expect(window.start).toBe(100)
  expect(earlier({ ...window, limit: 5000 })).toBe('download')
})

test('at most 32 MiB are in memory', () => {
  const window = append(emptyWindow, lines(40, 0, 1 << 20))
  expect(window.lines).toHaveLength(32)
  expect(window.start).toBe(8 << 20)
  expect(earlier(window)).toBe('download')
})

test('an older part is added where the window begins, and nowhere else', () => {
  const window = { ...emptyWindow, lines: lines(2, 300), start: 300 }
  expect(earlier(window)).toBe('server')
  expect(prepend(window, { lines: lines(2), start: 0, end: 200 })).toBe(window)
  const whole = prepend(window, { lines: lines(3), start: 0, end: 300 })
  expect(whole.lines.map(({ offset }) => offset)).toEqual([0, 100, 200, 300, 400])
  expect(earlier(whole)).toBe('none')
})
