import { describe, expect, test } from 'vitest'
import { formatDuration, formatElapsed, formatTimestamp } from './format.ts'

describe('durations', () => {
  test.each([
    [-5000, '0.0 s'],
    [0, '0.0 s'],
    [1290, '1.2 s'],
    [9999, '9.9 s'],
    [59_999, '59 s'],
    [60_000, '1 min 0 s'],
    [3_599_000, '59 min 59 s'],
    [3_600_000, '1 h 0 min'],
    [90_000_000, '25 h 0 min'],
  ])('%i ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('an elapsed time has whole seconds and is never negative', () => {
    expect(formatElapsed(-3000)).toBe('0 s')
    expect(formatElapsed(9_999)).toBe('9 s')
    expect(formatElapsed(61_000)).toBe('1 min 1 s')
  })
})

test('a timestamp of today shows the time, an earlier one the date', () => {
  const now = new Date('2026-05-10T15:00:00')
  expect(formatTimestamp('2026-05-10T09:05:00', now)).toMatch(/09:05/)
  expect(formatTimestamp('2026-05-09T09:05:00', now)).toMatch(/May 9|9 May/)
})
