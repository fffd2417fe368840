import { describe, expect, test } from 'vitest'
import { maxBytes, checkText } from './limit.ts'

describe('checkText', () => {
  test('reports nothing for ordinary text', () => {
    expect(checkText('')).toEqual({})
    expect(checkText('안녕하세요 👋')).toEqual({})
  })

  test('counts bytes of UTF-8, not characters', () => {
    expect(checkText('한'.repeat(70_000))).toEqual({ note: '205 of 256 KiB' })
    expect(checkText('a'.repeat(70_000))).toEqual({})
  })

  test('accepts exactly the limit, and rejects one byte more', () => {
    expect(checkText('a'.repeat(maxBytes))).toEqual({ note: '256 of 256 KiB' })
    expect(checkText('a'.repeat(maxBytes + 1)).error).toBe('Too long by 1 byte: at most 256 KiB can be sent.')
    expect(checkText('a'.repeat(maxBytes + 1500)).error).toContain('Too long by 1,500 bytes')
  })

  test('rejects NUL', () => {
    expect(checkText('a\0b').error).toMatch(/NUL/)
  })
})
