import { describe, expect, test } from 'vitest'
import { maxBytes, measure } from './limit.ts'

describe('measure', () => {
  test('has nothing to say of ordinary text', () => {
    expect(measure('')).toEqual({})
    expect(measure('안녕하세요 👋')).toEqual({})
  })

  test('counts bytes of UTF-8, not characters', () => {
    expect(measure('한'.repeat(70_000))).toEqual({ note: '205 of 256 KiB' })
    expect(measure('a'.repeat(70_000))).toEqual({})
  })

  test('takes exactly the limit, and not a byte more', () => {
    expect(measure('a'.repeat(maxBytes))).toEqual({ note: '256 of 256 KiB' })
    expect(measure('a'.repeat(maxBytes + 1)).fault).toBe('Too long by 1 byte: at most 256 KiB can be sent.')
    expect(measure('a'.repeat(maxBytes + 1500)).fault).toContain('Too long by 1,500 bytes')
  })

  test('finds NUL', () => {
    expect(measure('a\0b').fault).toMatch(/NUL/)
  })
})
